//! Collects the dispatches of a plan, without a device.

use std::mem;

use super::kernel::{Constant, Kernel, Shader};
use super::uniforms::{ShaderStruct, UNIFORM_BYTES};
use super::weights::{ParamLayout, ParamSlot};

/// Invocations of a workgroup, as in the prelude.
pub(super) const WORKGROUP: u64 = 64;
/// The most workgroups of one dimension that every adapter supports.
const MAX_WORKGROUPS: u64 = 65_535;

/// One kernel over one grid.
pub(super) struct Dispatch {
    pub shader: &'static Shader,
    pub entry: &'static str,
    pub constants: Vec<Constant>,
    /// The byte of the uniform buffer at which the kernel's uniforms begin.
    pub uniforms_at: u32,
    /// Index of the parameter buffer that the kernel reads.
    pub param_buffer: usize,
    /// Workgroups on two axes.
    pub workgroups: [u32; 2],
}

/// Collects dispatches and their uniforms in order of execution.
pub(super) struct Recorder<'a> {
    pub layout: &'a ParamLayout,
    /// Samples.
    pub batch: usize,
    pub training: bool,
    /// Bytes from one dispatch's uniforms to the next.
    uniform_stride: usize,
    uniforms: Vec<u8>,
    dispatches: Vec<Dispatch>,
    scratch_at: usize,
    scratch: usize,
}

impl<'a> Recorder<'a> {
    /// Records a plan of `batch` samples whose scratch memory begins at float `scratch_at` of the arena.
    pub(super) fn new(
        layout: &'a ParamLayout,
        batch: usize,
        training: bool,
        uniform_alignment: usize,
        scratch_at: usize,
    ) -> Self {
        Recorder {
            layout,
            batch,
            training,
            uniform_stride: UNIFORM_BYTES.next_multiple_of(uniform_alignment.max(1)),
            uniforms: vec![],
            dispatches: vec![],
            scratch_at,
            scratch: 0,
        }
    }

    /// Appends a dispatch with at least this many invocations of `kernel`.
    pub(super) fn dispatch<U: ShaderStruct>(
        &mut self,
        kernel: &Kernel<U>,
        constants: &[Constant],
        param_buffer: usize,
        uniforms: &U,
        invocations: usize,
    ) {
        let workgroups = (invocations as u64).div_ceil(WORKGROUP).max(1);
        let columns = workgroups.min(MAX_WORKGROUPS);
        let uniforms_at = self.uniforms.len();
        self.uniforms.extend_from_slice(bytemuck::bytes_of(uniforms));
        self.uniforms.resize(uniforms_at + self.uniform_stride, 0);
        self.dispatches.push(Dispatch {
            shader: kernel.shader,
            entry: kernel.entry,
            constants: constants.to_vec(),
            uniforms_at: uniforms_at as u32,
            param_buffer,
            workgroups: [columns as u32, workgroups.div_ceil(columns) as u32],
        });
    }

    /// Reserves `floats` of scratch memory, valid until the next call, and returns its first float in the arena.
    pub(super) fn scratch(&mut self, floats: usize) -> usize {
        self.scratch = self.scratch.max(floats);
        self.scratch_at
    }

    /// The parameters of a node whose layer has some.
    pub(super) fn slot(&self, node: usize) -> ParamSlot {
        *self.layout.slot(node)
    }

    /// The number of dispatches since the last [`Recorder::take`].
    pub(super) fn len(&self) -> usize {
        self.dispatches.len()
    }

    /// Returns the dispatches since the last call.
    pub(super) fn take(&mut self) -> Vec<Dispatch> {
        mem::take(&mut self.dispatches)
    }

    /// The uniforms of all dispatches, and the number of floats that the arena needs.
    pub(super) fn finish(self) -> (Vec<u8>, usize) {
        (self.uniforms, self.scratch_at + self.scratch)
    }
}
