//! Layers that only move values: pad, slice, channel shuffle.

use crate::gpu::kernel::{accumulate, kernels};
use crate::gpu::operation::GpuOperation;
use crate::gpu::recorder::Recorder;
use crate::gpu::uniforms::{ViewUniforms, shader_struct};
use crate::layers::{ChannelShuffle, Pad, Slice};
use crate::plan::{BackwardStep, GradWrite, Step, View};

kernels!("rearrange", RearrangeUniforms, ["rearrange.wgsl"], REARRANGE = "rearrange");

shader_struct! {
    struct RearrangeUniforms {
        a: ViewUniforms,
        y: ViewUniforms,
        times: [i32; 4],
        plus: [i32; 4],
        over: [i32; 4],
        groups: u32,
        fill: f32,
        elements: u32,
    }
}

/// On each axis (channels, rows, columns), index o of the result comes from index `(o * times + plus) / over` of the
/// operand.
#[derive(Clone, Copy)]
struct Mapping {
    times: [i32; 4],
    plus: [i32; 4],
    over: [i32; 4],
    /// Channels are first shuffled by this many groups.
    groups: u32,
    /// The value where the operand has no such index.
    fill: f32,
}

const IDENTITY: Mapping = Mapping { times: [1; 4], plus: [0; 4], over: [1; 4], groups: 1, fill: 0.0 };

pub(in crate::gpu) struct Rearrange {
    step: Step,
    forward: Mapping,
    backward: Mapping,
}

/// Numbers for three axes. No map reaches 2^30, so that larger offsets are equivalent.
fn axes([c, h, w]: [usize; 3]) -> [i32; 4] {
    [c, h, w, 1].map(|v| v.min(1 << 30) as i32)
}

impl Rearrange {
    pub(in crate::gpu) fn pad(layer: &Pad, step: Step) -> Self {
        let before = axes(layer.before);
        let forward = Mapping { plus: before.map(|v| -v), fill: layer.value, ..IDENTITY };
        Rearrange { step, forward, backward: Mapping { plus: before, ..IDENTITY } }
    }

    pub(in crate::gpu) fn slice(layer: &Slice, step: Step) -> Self {
        let (start, stride) = (axes(layer.start), axes(layer.step));
        let forward = Mapping { plus: start, times: stride, ..IDENTITY };
        Rearrange { step, forward, backward: Mapping { plus: start.map(|v| -v), over: stride, ..IDENTITY } }
    }

    pub(in crate::gpu) fn shuffle(layer: &ChannelShuffle, step: Step) -> Self {
        let groups = |groups: usize| Mapping { groups: groups as u32, ..IDENTITY };
        let (forward, backward) = (groups(layer.groups), groups(step.output.c / layer.groups));
        Rearrange { step, forward, backward }
    }
}

fn record(r: &mut Recorder<'_>, mapping: Mapping, a: View, y: GradWrite) {
    let Mapping { times, plus, over, groups, fill } = mapping;
    let elements = y.view.pixels(r.batch) * y.view.c;
    let (a, view) = (a.into(), y.view.into());
    let uniforms = RearrangeUniforms { a, y: view, times, plus, over, groups, fill, elements: elements as u32 };
    r.dispatch(&REARRANGE, &[accumulate(y.accumulate)], 0, &uniforms, elements);
}

impl GpuOperation for Rearrange {
    fn forward(&self, r: &mut Recorder<'_>) {
        let y = GradWrite { view: self.step.output, accumulate: false };
        record(r, self.forward, self.step.inputs[0], y);
    }

    fn backward(&self, r: &mut Recorder<'_>, back: &BackwardStep) {
        if let Some(dx) = back.dx[0] {
            record(r, self.backward, back.dy, dx);
        }
    }
}
