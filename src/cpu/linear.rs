//! Fully connected layers: convolutions whose kernel covers the whole map. A vector is a map of one pixel, and a map
//! that was flattened without being moved is read as it lies.

use super::algorithm::{self, Algorithm, Calibrated, Prefer};
use super::conv2d::{Convolution, Geometry};
use super::int8::Int8;
use super::operation::{Operation, Setting};
use super::weights::Layout;
use crate::layers;
use crate::plan::{Step, View};

/// A linear layer of the plan.
pub(super) fn operation(layer: &layers::Linear, step: Step, setting: &Setting) -> Box<dyn Operation> {
    let (x, y) = (step.inputs[0], step.output);
    debug_assert_eq!(y.c, layer.out_features);
    let geometry = geometry(x);
    match algorithm(x, y, setting.prefer, setting.calibrated) {
        Algorithm::Int8 => {
            let layout = Layout::of_convolution(&geometry, Algorithm::Int8, x, y, setting.calibrated);
            Box::new(Int8::new(geometry, layout, step, setting.n))
        }
        _ => Box::new(Convolution::new(geometry, step, setting)),
    }
}

/// Its window: the whole map.
pub(super) fn geometry(x: View) -> Geometry {
    Geometry { kernel: [x.h, x.w], stride: [1; 2], dilation: [1; 2], pads: [0; 4], groups: 1 }
}

/// How it is computed: no map of it is worth a transform.
pub(super) fn algorithm(x: View, y: View, prefer: Prefer, calibrated: Calibrated) -> Algorithm {
    match algorithm::choose(&geometry(x), x, y, prefer, calibrated) {
        Algorithm::Int8 => Algorithm::Int8,
        _ => Algorithm::Direct,
    }
}
