//! The interface of a layer on the device.

use super::recorder::Recorder;
use crate::plan::BackwardStep;

/// A step of a plan, as dispatches.
pub(super) trait GpuOperation {
    /// Records the computation of the step's output, the fused activation included.
    fn forward(&self, r: &mut Recorder<'_>);

    /// Records the gradients of the step's inputs and parameters. The gradient `back.dy` already contains the
    /// derivative of the fused activation.
    fn backward(&self, r: &mut Recorder<'_>, back: &BackwardStep);
}
