//! Uniforms of element-wise kernels.

use super::recorder::Recorder;
use super::uniforms::{ViewUniforms, shader_struct};
use crate::plan::View;

shader_struct! {
    /// Up to two operands and a result.
    pub(super) struct ElementwiseUniforms {
        pub a: ViewUniforms,
        pub b: ViewUniforms,
        pub y: ViewUniforms,
        /// Invocations that compute something.
        pub elements: u32,
        /// Dropout: stream of random words, the word below which a value is dropped, factor of kept values.
        pub stream: u32,
        pub threshold: u32,
        pub scale: f32,
    }
}

impl ElementwiseUniforms {
    /// Operands `a` and `b`, result `y`, one invocation for each element of `a`. Kernels of one operand ignore `b`.
    pub(super) fn new(r: &Recorder<'_>, a: View, b: View, y: View) -> Self {
        let elements = (a.pixels(r.batch) * a.c) as u32;
        ElementwiseUniforms { a: a.into(), b: b.into(), y: y.into(), elements, stream: 0, threshold: 0, scale: 1.0 }
    }

    /// Operands `a` and `b`, result `y`, one invocation for each element of `y`.
    pub(super) fn for_result(r: &Recorder<'_>, a: View, b: View, y: View) -> Self {
        ElementwiseUniforms { elements: (y.pixels(r.batch) * y.c) as u32, ..Self::new(r, a, b, y) }
    }

    /// Operands `a` and `b`, result `y`, one invocation for each pixel of `a`.
    pub(super) fn for_pixels(r: &Recorder<'_>, a: View, b: View, y: View) -> Self {
        ElementwiseUniforms { elements: a.pixels(r.batch) as u32, ..Self::new(r, a, b, y) }
    }
}
