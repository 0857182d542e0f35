//! Chooses the kernels of a convolution.

use super::add::Add;
use super::conv2d::Conv;
use super::depthwise;
use crate::gpu::operation::GpuOperation;
use crate::gpu::recorder::Recorder;
use crate::layers::Conv2d;
use crate::plan::{BackwardStep, Step};

pub(in crate::gpu) struct Convolution {
    pub layer: Conv2d,
    pub step: Step,
}

impl Convolution {
    fn conv(&self, r: &Recorder<'_>, step: &Step) -> Conv {
        Conv {
            x: step.inputs[0],
            y: step.output,
            addend: step.inputs.get(1).copied(),
            window: self.layer.window,
            slot: r.slot(step.node),
            frozen: step.frozen,
        }
    }

    fn forward_step(&self, r: &mut Recorder<'_>, step: &Step) {
        let conv = self.conv(r, step);
        match conv.slot.weight_layout.depthwise {
            true => depthwise::forward(r, &conv, step.activation),
            false => conv.forward(r, step.activation),
        }
    }
}

impl GpuOperation for Convolution {
    fn forward(&self, r: &mut Recorder<'_>) {
        match self.step.split_residual_add() {
            Some([conv, sum]) => {
                self.forward_step(r, &conv);
                Add { step: sum }.forward(r);
            }
            None => self.forward_step(r, &self.step),
        }
    }

    fn backward(&self, r: &mut Recorder<'_>, back: &BackwardStep) {
        let conv = self.conv(r, &self.step);
        match conv.slot.weight_layout.depthwise {
            true => depthwise::backward(r, &conv, back.dy, back.dx[0]),
            false => conv.backward(r, back.dy, back.dx[0]),
        }
    }
}
