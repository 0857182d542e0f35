//! Convolution as an implicit matrix product. Linear layers use it too.

use super::activation::constants;
use crate::gpu::kernel::{accumulate, kernels};
use crate::gpu::recorder::Recorder;
use crate::gpu::split_sum::SplitSum;
use crate::gpu::uniforms::{ViewUniforms, shader_struct};
use crate::gpu::weights::{ParamSlot, WeightLayout};
use crate::gpu::window::WindowUniforms;
use crate::layers::{Activation, Window};
use crate::plan::{GradWrite, View};

kernels!(
    "conv2d",
    ConvUniforms,
    ["../grads.wgsl", "conv2d.wgsl"],
    FORWARD = "forward",
    FORWARD_VECTOR = "forward_vector",
    BACKWARD_INPUT = "backward_input",
    BACKWARD_WEIGHTS = "backward_weights",
);

shader_struct! {
    pub(in crate::gpu) struct ConvUniforms {
        x: ViewUniforms,
        y: ViewUniforms,
        window: WindowUniforms,
        weights: u32,
        bias: u32,
        groups: u32,
        cin: u32,
        cout: u32,
        depth: u32,
        pixels: u32,
        batch: u32,
        taps: u32,
        run: u32,
        splits: u32,
        slice: u32,
        scratch: u32,
        addend: u32,
        addend_pixel_stride: u32,
    }
}

/// A convolution between two views.
pub(in crate::gpu) struct Conv {
    pub x: View,
    pub y: View,
    /// Added to the result before the activation.
    pub addend: Option<View>,
    pub window: Window,
    pub slot: ParamSlot,
    /// Whether the weights have no gradient.
    pub frozen: bool,
}

impl Conv {
    fn weight_layout(&self) -> &WeightLayout {
        &self.slot.weight_layout
    }

    /// Uniforms of kernels that read weights. Offsets of weights count `vec4`.
    fn uniforms(&self, r: &Recorder<'_>, x: View, y: View) -> ConvUniforms {
        let layout = self.weight_layout();
        let window = WindowUniforms::new(&self.window, [x.h, x.w]);
        let [_, kw] = layout.kernel;
        // Pixels without gaps make one run of a whole row of the kernel.
        let whole_rows = layout.groups == 1 && x.pixel_stride == x.c && (window.dilation[1] == 1 || kw == 1);
        let (taps, run) = if whole_rows { (1, kw * layout.cin) } else { (kw, layout.cin) };
        ConvUniforms {
            x: x.into(),
            y: y.into(),
            window,
            weights: self.slot.weights() / 4,
            bias: self.slot.bias().map_or(u32::MAX, |b| b / 4),
            groups: layout.groups as u32,
            cin: layout.cin as u32,
            cout: layout.cout as u32,
            depth: layout.depth() as u32,
            pixels: y.pixels(r.batch) as u32,
            batch: r.batch as u32,
            taps: taps as u32,
            run: run as u32,
            splits: 1,
            slice: 0,
            scratch: 0,
            addend: self.addend.map_or(u32::MAX, |view| view.offset as u32),
            addend_pixel_stride: self.addend.map_or(0, |view| view.pixel_stride as u32),
        }
    }

    fn column_blocks(&self) -> usize {
        self.weight_layout().groups * self.weight_layout().cout.div_ceil(4)
    }

    /// Records the output.
    pub(in crate::gpu) fn forward(&self, r: &mut Recorder<'_>, activation: Option<Activation>) {
        let uniforms = self.uniforms(r, self.x, self.y);
        let pixels = uniforms.pixels as usize;
        let padded = uniforms.window.is_padded(&self.x, &self.y);
        let is_vector =
            self.x.h * self.x.w == 1 && uniforms.run == uniforms.depth && self.weight_layout().groups == 1 && !padded;
        let buffer = self.slot.param_buffer;
        if pixels < 4 && is_vector {
            let constants = constants(activation, &[]);
            r.dispatch(&FORWARD_VECTOR, &constants, buffer, &uniforms, pixels * self.column_blocks());
        } else {
            let constants = constants(activation, &[("PADDED", f64::from(padded))]);
            r.dispatch(&FORWARD, &constants, buffer, &uniforms, pixels.div_ceil(8) * self.column_blocks());
        }
    }

    /// Records the gradients of weights and input.
    pub(in crate::gpu) fn backward(&self, r: &mut Recorder<'_>, dy: View, dx: Option<GradWrite>) {
        if !self.frozen {
            self.backward_weights(r, dy);
        }
        if let Some(dx) = dx {
            self.backward_input(r, dy, dx);
        }
    }

    fn backward_input(&self, r: &mut Recorder<'_>, dy: View, dx: GradWrite) {
        let layout = self.weight_layout();
        let pixels = dx.view.pixels(r.batch);
        let uniforms = ConvUniforms { pixels: pixels as u32, ..self.uniforms(r, dx.view, dy) };
        let constants = [accumulate(dx.accumulate), ("RAGGED", f64::from(!layout.cout.is_multiple_of(4)))];
        let count = pixels.div_ceil(8) * layout.groups * layout.cin.div_ceil(4);
        r.dispatch(&BACKWARD_INPUT, &constants, self.slot.param_buffer, &uniforms, count);
    }

    fn backward_weights(&self, r: &mut Recorder<'_>, dy: View) {
        let layout = self.weight_layout();
        let owners = (layout.depth() + usize::from(layout.bias)).div_ceil(8) * self.column_blocks();
        let sum = SplitSum::new(r.batch * dy.h, dy.w, owners);
        let uniforms = ConvUniforms {
            // Gradients are written by single floats.
            weights: self.slot.weights(),
            bias: self.slot.bias().unwrap_or(u32::MAX),
            splits: sum.count as u32,
            slice: sum.slice as u32,
            scratch: sum.reserve(r, layout),
            ..self.uniforms(r, self.x, dy)
        };
        let constants = [("PADDED", f64::from(uniforms.window.is_padded(&self.x, &self.y)))];
        r.dispatch(&BACKWARD_WEIGHTS, &constants, self.slot.param_buffer, &uniforms, owners * sum.count);
        sum.record(r, &self.slot);
    }
}
