//! Convolution on the device; linear layers come here too.

use super::activation::constants;
use crate::gpu::kernel::kernels;
use crate::gpu::recorder::{GpuView, Recorder};
use crate::gpu::split_sum::{self, Splits};
use crate::gpu::weights::{Form, Slot};
use crate::gpu::window::Geometry;
use crate::layers::{Activation, Conv2d, Window};
use crate::plan::{GradWrite, Step as PlanStep, View};

kernels!(
    "conv2d",
    ["grads.wgsl", "conv2d.wgsl"],
    FORWARD = "forward",
    FORWARD_VECTOR = "forward_vector",
    BACKWARD_INPUT = "backward_input",
    BACKWARD_WEIGHTS = "backward_weights",
);

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Step {
    x: GpuView,
    y: GpuView,
    geometry: Geometry,
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
    addend_pitch: u32,
    unused: u32,
}

/// A convolution between two places.
pub(crate) struct Conv {
    pub x: View,
    pub y: View,
    /// Added to the result before the activation.
    pub addend: Option<View>,
    pub window: Window,
    pub slot: Slot,
    /// Whether its weights have no gradient.
    pub frozen: bool,
}

impl Conv {
    pub(crate) fn new(r: &Recorder<'_>, layer: &Conv2d, step: &PlanStep) -> Self {
        Conv {
            x: step.inputs[0],
            y: step.output,
            addend: step.inputs.get(1).copied(),
            window: layer.window,
            slot: r.slot(step.node),
            frozen: step.frozen,
        }
    }

    pub(crate) fn form(&self) -> &Form {
        &self.slot.form
    }

    /// The numbers for kernels that read weights; offsets of weights are in vec4.
    fn step(&self, r: &Recorder<'_>, x: View, y: View) -> Step {
        let form = self.form();
        let geometry = Geometry::new(&self.window, [x.h, x.w]);
        let [_, kw] = form.kernel;
        // Pixels without gaps make one run of a whole row of the kernel.
        let whole_rows = form.groups == 1 && x.pixel_stride == x.c && (geometry.dilation[1] == 1 || kw == 1);
        let (taps, run) = if whole_rows { (1, kw * form.cin) } else { (kw, form.cin) };
        Step {
            x: x.into(),
            y: y.into(),
            geometry,
            weights: self.slot.weights() / 4,
            bias: self.slot.bias().map_or(u32::MAX, |b| b / 4),
            groups: form.groups as u32,
            cin: form.cin as u32,
            cout: form.cout as u32,
            depth: form.depth() as u32,
            pixels: y.pixels(r.batch) as u32,
            batch: r.batch as u32,
            taps: taps as u32,
            run: run as u32,
            splits: 1,
            slice: 0,
            scratch: 0,
            addend: self.addend.map_or(u32::MAX, |view| view.offset as u32),
            addend_pitch: self.addend.map_or(0, |view| view.pixel_stride as u32),
            unused: 0,
        }
    }

    fn column_blocks(&self) -> usize {
        self.form().groups * self.form().cout.div_ceil(4)
    }

    pub(crate) fn forward(&self, r: &mut Recorder<'_>, activation: Option<Activation>) {
        let step = self.step(r, self.x, self.y);
        let pixels = step.pixels as usize;
        let is_vector = self.x.h * self.x.w == 1 && step.run == step.depth && self.form().groups == 1;
        if pixels < 4 && is_vector && !step.geometry.is_padded(&self.x, &self.y) {
            let constants = constants(activation, &[]);
            r.dispatch(&FORWARD_VECTOR, &constants, self.slot.bank, &step, pixels * self.column_blocks());
            return;
        }
        let padded = step.geometry.is_padded(&self.x, &self.y);
        let constants = constants(activation, &[("PADDED", f64::from(padded))]);
        r.dispatch(&FORWARD, &constants, self.slot.bank, &step, pixels.div_ceil(8) * self.column_blocks());
    }

    pub(crate) fn backward(&self, r: &mut Recorder<'_>, dy: View, dx: Option<GradWrite>) {
        if !self.frozen {
            self.backward_weights(r, dy);
        }
        if let Some(dx) = dx {
            self.backward_input(r, dy, dx);
        }
    }

    fn backward_input(&self, r: &mut Recorder<'_>, dy: View, dx: GradWrite) {
        let mut step = self.step(r, dx.view, dy);
        let pixels = dx.view.pixels(r.batch);
        step.pixels = pixels as u32;
        let constants =
            [("ACCUMULATE", f64::from(dx.accumulate)), ("RAGGED", f64::from(!self.form().cout.is_multiple_of(4)))];
        let count = pixels.div_ceil(8) * self.form().groups * self.form().cin.div_ceil(4);
        r.dispatch(&BACKWARD_INPUT, &constants, self.slot.bank, &step, count);
    }

    fn backward_weights(&self, r: &mut Recorder<'_>, dy: View) {
        let form = *self.form();
        let mut step = self.step(r, self.x, dy);
        step.weights = self.slot.weights();
        step.bias = self.slot.bias().unwrap_or(u32::MAX);
        let owners = (form.depth() + usize::from(form.bias)).div_ceil(8) * self.column_blocks();
        let sum = Splits::new(r.batch * dy.h, dy.w, owners);
        sum.reserve(r, &form);
        (step.splits, step.slice, step.scratch) = sum.numbers(r);
        let constants = [("PADDED", f64::from(step.geometry.is_padded(&self.x, &self.y)))];
        r.dispatch(&BACKWARD_WEIGHTS, &constants, self.slot.bank, &step, owners * sum.count);
        split_sum::record(r, &self.slot, &sum);
    }
}
