//! Batches that are prepared while the device works.

use std::sync::Arc;

use convoke::cpu::Pool;
use convoke::engine::Backend;
use convoke::graph::{Init, Params};
use convoke::train::{Augmentation, Config, Dataset, Trainer};
use pollster::block_on;

use super::DEVICE;
use crate::list::List;
use crate::suite::random;
use crate::suite::training::separable;

pub fn add(list: &mut List) {
    list.test("gpu::batches/equal-the-cpus", a_run_sees_the_batches_of_the_cpu);
}

/// The batch prepared ahead must be the one that comes next, also after the batch size has changed.
fn a_run_sees_the_batches_of_the_cpu() {
    let graph = separable();
    let params = Params::init(&graph, Init::He, 4);
    let samples = random(&[40, 2, 9, 9], 1).data;
    let labels = (0..40).map(|i| i % 4).collect();
    let data = Arc::new(Dataset::from_floats("random", [2, 9, 9], samples, labels, 4).unwrap());
    let augment = Augmentation { crop: 2, flip: true, mixup: 0.5, ..Augmentation::default() };
    let config = Config { batch_size: 6, accumulate: 2, epochs: 3, augment, ..Config::default() };
    let reports = |backend: Backend| {
        let new = Trainer::new(&graph, &params, data.clone(), config.clone(), &backend);
        let mut trainer = block_on(new).unwrap();
        let mut step = |t: usize| {
            if t == 5 {
                trainer.set_batch_size(9).unwrap();
            }
            block_on(trainer.step()).unwrap()
        };
        (0..9).map(&mut step).collect::<Vec<_>>()
    };
    for (got, want) in reports(Backend::Gpu(DEVICE.clone())).iter().zip(reports(Backend::Cpu(Pool::new(2)))) {
        assert!((got.loss - want.loss).abs() < 1e-4, "{got:?} instead of {want:?}");
        assert_eq!((got.epoch, got.samples), (want.epoch, want.samples));
    }
}
