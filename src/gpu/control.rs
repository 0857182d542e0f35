//! The control buffer: the numbers that change from one training step to the next, and the report of a step.

use super::device::{Buffer, Device};
use super::uniforms::shader_struct;
use crate::error::Result;
use crate::plan::{Optimizer, Update};

shader_struct! {
    /// The head of the control buffer. The labels of the batch follow.
    pub(super) struct Control {
        pub loss: f32,
        pub correct: u32,
        pub non_finite: u32,
        pub seed: u32,
        pub rate: f32,
        pub decay: f32,
        pub beta1: f32,
        pub beta2: f32,
        pub epsilon: f32,
        pub correction1: f32,
        pub correction2: f32,
        pub nesterov: u32,
        pub decoupled_decay: f32,
        pub scale: f32,
        pub clip_norm: f32,
        pub accumulate_gradients: u32,
        pub mixup_lambda: f32,
    }
}

/// Bytes at the start of a control buffer that are read back: `loss`, `correct`, `non_finite`.
pub(super) const REPORT_BYTES: usize = 12;

impl Control {
    /// Makes a control buffer with room for the labels of `batch` samples.
    pub(super) fn buffer(device: &Device, batch: usize) -> Result<Buffer> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        device.buffer("control", size_of::<Control>() + 4 * batch.max(1), usage)
    }

    /// The control of a step with this update. The report is zero.
    pub(super) fn new(update: &Update, clip_norm: f32, seed: u32) -> Self {
        let [c1, c2] = update.adam_corrections();
        let common = Control {
            seed,
            rate: update.learning_rate,
            correction1: c1 as f32,
            correction2: c2 as f32,
            scale: 1.0,
            clip_norm,
            ..Control::default()
        };
        match update.optimizer {
            Optimizer::Sgd { momentum, nesterov, weight_decay } => {
                Control { decay: weight_decay, beta1: momentum, nesterov: nesterov.into(), ..common }
            }
            Optimizer::Adam { beta1, beta2, epsilon, weight_decay } => {
                Control { decay: weight_decay, beta1, beta2, epsilon, ..common }
            }
            Optimizer::AdamW { beta1, beta2, epsilon, weight_decay } => {
                Control { decoupled_decay: weight_decay, beta1, beta2, epsilon, ..common }
            }
            Optimizer::RmsProp { alpha, momentum, epsilon, weight_decay } => {
                Control { decay: weight_decay, beta1: momentum, beta2: alpha, epsilon, ..common }
            }
        }
    }
}

/// Uploads the control and the labels of a step.
pub(super) fn write_control(device: &Device, buffer: &Buffer, control: &Control, labels: &[u32]) {
    let mut bytes = bytemuck::bytes_of(control).to_vec();
    bytes.extend_from_slice(bytemuck::cast_slice(labels));
    device.queue().write_buffer(buffer, 0, &bytes);
}
