//! The update: for each segment of parameters with one learning rate, a dispatch that checks the gradients and one that
//! updates; two more where the norm of all gradients is limited.

use super::buffers::TrainingBuffers;
use super::kernel::{Constant, Kernel, Shader, accumulate, entries};
use super::recorder::Recorder;
use super::uniforms::shader_struct;
use super::weights::{ParamRegion, ParamSegment};
use crate::plan::Optimizer;

pub(super) static SHADER: Shader =
    Shader { updates: true, ..Shader::new::<OptimizerUniforms>("optimizer", &[include_str!("optimizer.wgsl")]) };
entries!(OptimizerUniforms, CHECK = "check", SQUARES = "squares", CLIP = "clip", UPDATE = "update");

/// Partial sums of the gradients' squared norm, as in the shader.
pub(super) const NORM_PARTS: usize = 4096;

shader_struct! {
    struct OptimizerUniforms {
        start: u32,
        end: u32,
        decaying: u32,
        trained: u32,
        rate: f32,
        scratch: u32,
    }
}

/// Records the update of all segments.
pub(super) fn record(r: &mut Recorder<'_>, training: &TrainingBuffers) {
    let rule = match training.optimizer {
        Optimizer::Sgd { .. } => 0.0,
        Optimizer::Adam { .. } | Optimizer::AdamW { .. } => 1.0,
        Optimizer::RmsProp { .. } => 2.0,
    };
    let scratch = if training.clips { r.scratch(NORM_PARTS) as u32 } else { 0 };
    let segments: Vec<_> = training.segments.iter().map(|segment| uniforms(r, segment, scratch)).collect();
    let each = |r: &mut Recorder<'_>, kernel: &Kernel<_>, constant: &dyn Fn(usize) -> Constant| {
        for (i, (segment, uniforms)) in training.segments.iter().zip(&segments).enumerate() {
            let all = (uniforms.end - uniforms.start) as usize;
            let invocations = if kernel.entry == SQUARES.entry { NORM_PARTS } else { all };
            r.dispatch(kernel, &[constant(i)], segment.param_buffer, uniforms, invocations);
        }
    };
    // No parameter may change before all gradients are known to be finite and their norm is known.
    each(r, &CHECK, &|_| ("RULE", 0.0));
    if training.clips {
        each(r, &SQUARES, &|i| accumulate(i > 0));
        r.dispatch(&CLIP, &[], 0, &OptimizerUniforms { scratch, ..Default::default() }, 1);
    }
    each(r, &UPDATE, &|_| ("RULE", rule));
}

fn uniforms(r: &Recorder<'_>, segment: &ParamSegment, scratch: u32) -> OptimizerUniforms {
    let buffer = &r.layout.buffers[segment.param_buffer];
    let [decaying, trained] = [ParamRegion::Decaying, ParamRegion::Trained].map(|region| buffer.end(region));
    let [start, end, decaying, trained] =
        [segment.start, segment.end, decaying, trained].map(|floats| (floats / 4) as u32);
    OptimizerUniforms { start, end, decaying, trained, rate: segment.rate, scratch }
}
