//! Convolutions of a plan, each by the algorithm that is chosen for it.

use super::depthwise::Depthwise;
use super::direct::Convolution;
use super::geometry::Geometry;
use super::int8::Int8;
use super::select::choose;
use super::winograd::Winograd;
use crate::cpu::algorithm::Algorithm;
use crate::cpu::config::OpConfig;
use crate::cpu::gemm::layout::Layout;
use crate::cpu::operation::Operation;
use crate::layers;
use crate::plan::Step;

/// A convolution of the plan.
pub(crate) fn operation(layer: &layers::Conv2d, step: Step, config: &OpConfig) -> Box<dyn Operation> {
    let (x, y) = (step.inputs[0], step.output);
    let geometry = Geometry::of(layer, x);
    let algorithm = choose(&geometry, x, y, config.prefer, config.activation_quant);
    let layout = Layout::of_convolution(&geometry, algorithm, x, y, config.activation_quant);
    match algorithm {
        Algorithm::Direct => Box::new(Convolution::new(geometry, layout, step, config)),
        Algorithm::Winograd => Box::new(Winograd::new(geometry, layout, step, config)),
        Algorithm::Depthwise => Box::new(Depthwise::new(geometry, layout, step)),
        Algorithm::Int8 => Box::new(Int8::new(geometry, layout, step, config.n)),
    }
}

/// Splits a convolution whose result is requantized before an input is added to it, unless its algorithm does both.
pub(crate) fn split_residual_add(layer: &layers::Conv2d, step: &Step, config: &OpConfig) -> Option<[Step; 2]> {
    let (x, y) = (step.inputs[0], step.output);
    let algorithm = choose(&Geometry::of(layer, x), x, y, config.prefer, config.activation_quant);
    step.split_residual_add().filter(|_| algorithm != Algorithm::Int8)
}
