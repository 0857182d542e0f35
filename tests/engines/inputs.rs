//! Batches of every size, and inputs that are refused.

use convoke::Error;
use convoke::engine::Engine;
use convoke::graph::{Init, Params};
use convoke::layers::Loss;
use convoke::plan::Optimizer;
use convoke::tensor::Tensor;

use crate::list::List;
use crate::suite::subject::Subject;
use crate::suite::training::small_network;
use crate::suite::{Case, random};

pub fn add(list: &mut List) {
    list.on_each("batches/of-any-size-in-turn", batches_of_any_size);
    list.on_each("inputs/wrong-shapes", wrong_shapes);
    list.on_each("inputs/wrong-labels-and-rates", wrong_labels_and_rates);
    list.on_each("inputs/infinite-values", infinite_values);
    list.on_each("inputs/wrong-constants", wrong_constants);
}

async fn batches_of_any_size(on: &Subject) {
    let graph = small_network();
    let params = Params::init(&graph, Init::He, 1);
    let mut engine = on.engine(&graph, &params).await.unwrap();
    for n in [1, 5, 5, 2, 1] {
        let case = Case::new(format!("batch of {n}"), graph.clone(), n);
        let x = random(&[n, 2, 9, 9], n as u32);
        let want = case.inference(&params, &x);
        for _ in 0..2 {
            case.check("y", &engine.run(&x).await.unwrap(), &want, on.tolerance).unwrap();
        }
    }
    let bytes = match &engine {
        Engine::Cpu(engine) => engine.bytes(),
        #[cfg(feature = "gpu")]
        Engine::Gpu(engine) => engine.bytes(),
    };
    assert!(bytes > 0);
}

async fn wrong_shapes(on: &Subject) {
    let graph = small_network();
    let params = Params::init(&graph, Init::He, 4);
    let mut engine = on.engine(&graph, &params).await.unwrap();
    let mut trainer = on.classifier(&graph, &params, Optimizer::sgd(0.9)).await;
    for shape in [vec![], vec![2], vec![0, 2, 9, 9], vec![1, 9, 9, 2], vec![2, 9, 9]] {
        let x = Tensor::zeros(shape);
        assert_eq!(engine.run(&x).await.unwrap_err().code(), "shape");
        assert_eq!(trainer.step(&x, &[], 0.1).await.unwrap_err().code(), "shape");
    }
    let x = random(&[2, 2, 9, 9], 1);
    assert_eq!(trainer.gradients(&x, &Tensor::zeros([2, 5]), 0).await.unwrap_err().code(), "shape");
    assert_eq!((trainer.params().await, trainer.steps()), (params, 0));
}

async fn wrong_labels_and_rates(on: &Subject) {
    let graph = small_network();
    let params = Params::init(&graph, Init::He, 4);
    let mut trainer = on.classifier(&graph, &params, Optimizer::sgd(0.9)).await;
    let x = random(&[2, 2, 9, 9], 1);
    assert_eq!(trainer.step(&x, &[0], 0.1).await.unwrap_err().code(), "argument");
    assert_eq!(trainer.step(&x, &[0, 4], 0.1).await.unwrap_err().code(), "label");
    assert_eq!(trainer.step(&x, &[0, 1], f32::NAN).await.unwrap_err().code(), "argument");
    assert_eq!((trainer.params().await, trainer.steps()), (params, 0));
}

async fn infinite_values(on: &Subject) {
    let graph = small_network();
    let params = Params::init(&graph, Init::He, 4);
    let mut engine = on.engine(&graph, &params).await.unwrap();
    let mut trainer = on.classifier(&graph, &params, Optimizer::sgd(0.9)).await;
    let mut x = random(&[2, 2, 9, 9], 1);
    x.data[100] = f32::INFINITY;
    for error in [engine.run(&x).await.unwrap_err(), trainer.step(&x, &[0, 1], 0.1).await.unwrap_err()] {
        assert!(matches!(&error, Error::NotFinite { what, index: 100, .. } if what.contains("input")), "{error}");
    }
    assert_eq!((trainer.params().await, trainer.steps()), (params, 0));
}

async fn wrong_constants(on: &Subject) {
    let graph = small_network();
    let params = Params::init(&graph, Init::He, 4);
    let mut trainer = on.classifier(&graph, &params, Optimizer::sgd(0.9)).await;
    let wrong = Optimizer::Sgd { momentum: 1.5, nesterov: false, weight_decay: 0.0 };
    assert!(trainer.set_optimizer(wrong).is_err());
    assert_eq!(trainer.set_clip_norm(f32::NAN).unwrap_err().code(), "argument");
    assert!(on.trainer(&graph, &params, Loss::CROSS_ENTROPY, wrong).await.is_err());
    let wrong = Loss::SoftmaxCrossEntropy { label_smoothing: 1.0 };
    assert!(on.trainer(&graph, &params, wrong, Optimizer::sgd(0.9)).await.is_err());
}
