//! Fully connected layers: convolutions whose kernel covers the whole map. A vector is a map of one pixel, and a map
//! that was flattened without being moved is read as it lies.

use super::conv2d::{Convolution, Geometry};
use super::operation::Setting;
use crate::layers;
use crate::plan::{Place, Step};

/// A linear layer of the plan.
pub(super) fn operation(layer: &layers::Linear, step: Step, setting: &Setting) -> Convolution {
    let Place { h, w, .. } = step.inputs[0];
    debug_assert_eq!(step.output.c, layer.out_features);
    let geometry = Geometry { kernel: [h, w], stride: [1; 2], dilation: [1; 2], pads: [0; 4], groups: 1 };
    Convolution::new(geometry, step, setting)
}
