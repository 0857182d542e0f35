//! Layers that only move values: pad, slice, channel shuffle. Each says where a value comes from, or where it went.

use super::kernel::kernels;
use super::program::{GpuView, Recorder};
use crate::layers::Layer;
use crate::plan::{BackwardStep, Step as PlanStep, View};

kernels!("rearrange", ["rearrange.wgsl"], REARRANGE = "rearrange");

/// On each axis (channels, rows, columns) index o of y shows index `(o * times + plus) / over` of a, if that is one.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Step {
    a: GpuView,
    y: GpuView,
    times: [i32; 4],
    plus: [i32; 4],
    over: [i32; 4],
    /// Channels that are first shuffled by so many groups.
    groups: u32,
    /// What shows nothing.
    fill: f32,
    elements: u32,
    unused: u32,
}

impl Step {
    fn new(r: &Recorder<'_>, a: View, y: View) -> Self {
        Step {
            a: a.into(),
            y: y.into(),
            times: [1; 4],
            plus: [0; 4],
            over: [1; 4],
            groups: 1,
            fill: 0.0,
            elements: (y.pixels(r.batch) * y.c) as u32,
            unused: 0,
        }
    }
}

/// Steps beyond any map are all alike.
fn axes([c, h, w]: [usize; 3]) -> [i32; 4] {
    [c, h, w, 1].map(|v| v.min(1 << 30) as i32)
}

pub(super) fn forward(r: &mut Recorder<'_>, layer: &Layer, step: &PlanStep) {
    let mut numbers = Step::new(r, step.inputs[0], step.output);
    match layer {
        Layer::Pad(pad) => {
            numbers.plus = axes(pad.before).map(|v| -v);
            numbers.fill = pad.value;
        }
        Layer::Slice(slice) => (numbers.plus, numbers.times) = (axes(slice.start), axes(slice.step)),
        Layer::ChannelShuffle(shuffle) => numbers.groups = shuffle.groups as u32,
        _ => unreachable!("this layer computes something"),
    }
    r.dispatch(&REARRANGE, &[], 0, &numbers, numbers.elements as usize);
}

pub(super) fn backward(r: &mut Recorder<'_>, layer: &Layer, back: &BackwardStep) {
    let Some(dx) = back.dx[0] else { return };
    let mut numbers = Step::new(r, back.dy, dx.view);
    match layer {
        Layer::Pad(pad) => numbers.plus = axes(pad.before),
        Layer::Slice(slice) => (numbers.plus, numbers.over) = (axes(slice.start).map(|v| -v), axes(slice.step)),
        Layer::ChannelShuffle(shuffle) => numbers.groups = (back.dy.c / shuffle.groups) as u32,
        _ => unreachable!("this layer computes something"),
    }
    let constants = [("ACCUMULATE", f64::from(dx.accumulate))];
    r.dispatch(&REARRANGE, &constants, 0, &numbers, numbers.elements as usize);
}
