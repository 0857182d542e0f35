//! Convolution on the device; linear layers come here too.

use super::activation::constants;
use super::add;
use super::kernel::kernels;
use super::program::{GpuView, Recorder};
use super::weights::{Form, Slot};
use super::{depthwise, reduce};
use crate::layers::{Activation, Conv2d, Window};
use crate::plan::{BackwardStep, GradWrite, Step as PlanStep, View};

kernels!(
    "conv2d",
    ["grads.wgsl", "conv2d.wgsl"],
    FORWARD = "forward",
    FORWARD_VECTOR = "forward_vector",
    BACKWARD_INPUT = "backward_input",
    BACKWARD_WEIGHTS = "backward_weights",
);

/// Invocations that keep a large adapter busy; sums over pixels are split until there are about as many.
const ENOUGH: usize = 4096;
/// Pixels below which a sum is not worth splitting.
const WORTHWHILE: usize = 32;

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

/// A window in numbers, as every shader with windows has it.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Geometry {
    pub kernel: [u32; 2],
    pub stride: [u32; 2],
    pub pad: [i32; 2],
    pub dilation: [u32; 2],
}

impl Geometry {
    pub(super) fn new(window: &Window, input: [usize; 2]) -> Self {
        let [top, left, ..] = window.pads(input);
        Geometry {
            kernel: window.kernel.map(|v| v as u32),
            stride: window.stride.map(|v| v as u32),
            pad: [top as i32, left as i32],
            dilation: window.dilation.map(|v| v as u32),
        }
    }

    /// Whether some window reaches beyond the input.
    pub(super) fn is_padded(&self, x: &View, y: &View) -> bool {
        let beyond = |axis: usize, input: usize, output: usize| {
            let last = (output - 1) * self.stride[axis] as usize
                + (self.kernel[axis] as usize - 1) * self.dilation[axis] as usize;
            self.pad[axis] > 0 || last >= input
        };
        beyond(0, x.h, y.h) || beyond(1, x.w, y.w)
    }
}

/// A convolution between two places.
pub(super) struct Conv {
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
    fn new(r: &Recorder<'_>, layer: &Conv2d, step: &PlanStep) -> Self {
        Conv {
            x: step.inputs[0],
            y: step.output,
            addend: step.inputs.get(1).copied(),
            window: layer.window,
            slot: r.slot(step.node),
            frozen: step.frozen,
        }
    }

    fn form(&self) -> &Form {
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

    pub(super) fn forward(&self, r: &mut Recorder<'_>, activation: Option<Activation>) {
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

    pub(super) fn backward(&self, r: &mut Recorder<'_>, dy: View, dx: Option<GradWrite>) {
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
        reduce::record(r, &self.slot, &sum);
    }
}

/// A sum over rows of pixels, split into slices that are summed apart.
pub(super) struct Splits {
    pub count: usize,
    /// Rows of a slice.
    slice: usize,
}

impl Splits {
    /// For `owners` invocations that would each sum over `rows` rows of `width` pixels.
    pub(super) fn new(rows: usize, width: usize, owners: usize) -> Self {
        let wanted = (ENOUGH / owners.max(1)).clamp(1, rows);
        let slice = rows.div_ceil(wanted).max(WORTHWHILE.div_ceil(width)).min(rows);
        Splits { count: rows.div_ceil(slice), slice }
    }

    /// Floats of one slice's sums.
    pub(super) fn stored(form: &Form) -> usize {
        form.blocks() * (form.depth() + usize::from(form.bias)) * form.columns()
    }

    pub(super) fn reserve(&self, r: &mut Recorder<'_>, form: &Form) {
        if self.count > 1 {
            r.scratch(self.count * Self::stored(form));
        }
    }

    /// `(splits, slice, scratch)` as shaders know them.
    pub(super) fn numbers(&self, r: &mut Recorder<'_>) -> (u32, u32, u32) {
        (self.count as u32, self.slice as u32, r.scratch(0) as u32)
    }
}

pub(super) fn forward(r: &mut Recorder<'_>, layer: &Conv2d, step: &PlanStep) {
    if let Some([conv, sum]) = step.split_residual_add() {
        forward(r, layer, &conv);
        return add::forward(r, &sum);
    }
    let conv = Conv::new(r, layer, step);
    match conv.form().depthwise {
        true => depthwise::forward(r, &conv, step.activation),
        false => conv.forward(r, step.activation),
    }
}

pub(super) fn backward(r: &mut Recorder<'_>, layer: &Conv2d, step: &PlanStep, back: &BackwardStep) {
    let conv = Conv::new(r, layer, step);
    match conv.form().depthwise {
        true => depthwise::backward(r, &conv, back.dy, back.dx[0]),
        false => conv.backward(r, back.dy, back.dx[0]),
    }
}
