//! Fully connected layers: convolutions whose kernel covers the whole map. A vector is a map of one pixel, and a map
//! that was flattened without being moved is read as it lies.

use super::direct::Convolution;
use super::geometry::Geometry;
use super::int8::Int8;
use super::select;
use crate::cpu::algorithm::Algorithm;
use crate::cpu::config::OpConfig;
use crate::cpu::gemm::layout::Layout;
use crate::cpu::operation::Operation;
use crate::layers;
use crate::plan::Step;

/// A linear layer of the plan.
pub(crate) fn operation(layer: &layers::Linear, step: Step, config: &OpConfig) -> Box<dyn Operation> {
    let (x, y) = (step.inputs[0], step.output);
    debug_assert_eq!(y.c, layer.out_features);
    let geometry = Geometry::linear(x);
    let algorithm = select::linear(x, y, config.prefer, config.activation_quant);
    let layout = Layout::of_convolution(&geometry, algorithm, x, y, config.activation_quant);
    match algorithm {
        Algorithm::Int8 => Box::new(Int8::new(geometry, layout, step, config.n)),
        _ => Box::new(Convolution::new(geometry, layout, step, config)),
    }
}
