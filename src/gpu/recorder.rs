//! Collects the dispatches of a plan.

use std::mem;

use super::device::Device;
use super::kernel::{Constant, Kernel, STEP_BYTES};
use super::weights::{Layout, Slot};
use crate::plan::View;

/// Invocations of a workgroup, as the prelude says.
const WORKGROUP: u64 = 64;
/// The most workgroups of one dimension, on any adapter.
const MAX_GROUPS: u64 = 65_535;

/// [`View`] as shaders see it.
#[repr(C)]
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct GpuView {
    pub offset: u32,
    pub pixel_stride: u32,
    pub c: u32,
    pub h: u32,
    pub w: u32,
    pub unused: [u32; 3],
}

impl From<View> for GpuView {
    fn from(p: View) -> Self {
        let [offset, pixel_stride, c, h, w] = [p.offset, p.pixel_stride, p.c, p.h, p.w].map(|v| v as u32);
        GpuView { offset, pixel_stride, c, h, w, unused: [0; 3] }
    }
}

/// One kernel over one grid.
pub(super) struct Dispatch {
    pub pipeline: wgpu::ComputePipeline,
    pub step: u32,
    pub bank: usize,
    pub updates: bool,
    pub grid: [u32; 2],
}

/// Collects dispatches. Layers add theirs.
pub(super) struct Recorder<'a> {
    device: &'a Device,
    pub layout: &'a Layout,
    pub batch: usize,
    pub training: bool,
    stride: usize,
    steps: Vec<u8>,
    dispatches: Vec<Dispatch>,
    scratch_at: usize,
    scratch: usize,
}

impl<'a> Recorder<'a> {
    /// Records for a plan of `batch` samples; scratch memory begins at float `scratch_at` of the arena.
    pub(super) fn new(device: &'a Device, layout: &'a Layout, batch: usize, training: bool, scratch_at: usize) -> Self {
        Recorder {
            device,
            layout,
            batch,
            training,
            stride: STEP_BYTES.next_multiple_of(device.uniform_alignment().max(1)),
            steps: vec![],
            dispatches: vec![],
            scratch_at,
            scratch: 0,
        }
    }

    /// Adds one invocation of `kernel` for each of `count`, with `step` as its numbers.
    pub(super) fn dispatch<S: bytemuck::Pod>(
        &mut self,
        kernel: &Kernel,
        constants: &[Constant],
        bank: usize,
        step: &S,
        count: usize,
    ) {
        const { assert!(size_of::<S>() <= STEP_BYTES && size_of::<S>().is_multiple_of(16)) };
        self.record(kernel, constants, bank, bytemuck::bytes_of(step), count);
    }

    /// The part of it that does not depend on the type of `step`.
    fn record(&mut self, kernel: &Kernel, constants: &[Constant], bank: usize, step: &[u8], count: usize) {
        let groups = (count as u64).div_ceil(WORKGROUP).max(1);
        let columns = groups.min(MAX_GROUPS);
        let at = self.steps.len();
        self.steps.extend_from_slice(step);
        self.steps.resize(at + self.stride, 0);
        self.dispatches.push(Dispatch {
            pipeline: self.device.pipeline(kernel, constants),
            step: at as u32,
            bank,
            updates: kernel.updates,
            grid: [columns as u32, groups.div_ceil(columns) as u32],
        });
    }

    /// Room for `floats` until the next call: where it begins in the arena.
    pub(super) fn scratch(&mut self, floats: usize) -> usize {
        self.scratch = self.scratch.max(floats);
        self.scratch_at
    }

    pub(super) fn slot(&self, node: usize) -> Slot {
        *self.layout.slot(node)
    }

    /// Dispatches since the last [`Recorder::take`].
    pub(super) fn len(&self) -> usize {
        self.dispatches.len()
    }

    /// Ends a phase and returns its dispatches.
    pub(super) fn take(&mut self) -> Vec<Dispatch> {
        mem::take(&mut self.dispatches)
    }

    /// The uniforms of all dispatches, and the floats that the arena needs.
    pub(super) fn finish(self) -> (Vec<u8>, usize) {
        (self.steps, self.scratch_at + self.scratch)
    }
}
