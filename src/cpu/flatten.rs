//! Flatten where its order is seen: from pixels of channels to the order CHW, and back.

use super::elementwise::Copy;
use super::memory::{Map, split};
use super::operation::{Frame, Operation};
use super::simd::{self, Kernel, Simd};
use super::weights::Weights;
use crate::plan::{BackwardStep, Step};

/// Floats that are rearranged at a time.
const CHUNK_FLOATS: usize = 4096;

/// Map to vector.
pub(super) struct Flatten {
    pub step: Step,
}

/// Copies sample `s` of a map to a vector in CHW order.
///
/// # Safety
/// Nobody may write to the map meanwhile.
pub(super) unsafe fn to_chw(map: &Map, s: usize, vector: &mut [f32]) {
    let pixels = map.view.h * map.view.w;
    if map.dense() && (pixels == 1 || map.view.c == 1) {
        assert_eq!(vector.len(), pixels * map.view.c);
        // SAFETY: the sample is dense, and both orders are the same.
        return unsafe { simd::map(&Copy, [map.at(s * pixels).cast_const()], vector.as_mut_ptr(), vector.len()) };
    }
    let pixel_stride = map.view.pixel_stride;
    chunks(map, s, |c, plane, count, at| {
        let to = vector[plane..][..count].as_mut_ptr();
        // SAFETY: so many pixels have this channel, a pixel stride apart; the rest is the caller's promise.
        unsafe { simd::dispatch(Stride { from: at.add(c), steps: [pixel_stride, 1], to, count, accumulate: false }) };
    });
}

/// Calls `f(channel, where its pixels stand in CHW, how many, the first pixel)` for stretches of pixels that stay in the
/// first-level cache until all of their channels are done.
fn chunks(map: &Map, s: usize, mut f: impl FnMut(usize, usize, usize, *mut f32)) {
    let (pixels, channels) = (map.view.h * map.view.w, map.view.c);
    let chunk = (CHUNK_FLOATS / channels).max(1);
    for first in (0..pixels).step_by(chunk) {
        let count = chunk.min(pixels - first);
        (0..channels).for_each(|c| f(c, c * pixels + first, count, map.at(s * pixels + first)));
    }
}

/// Copies floats that are so many apart to where they are so many apart.
struct Stride {
    from: *const f32,
    steps: [usize; 2],
    to: *mut f32,
    count: usize,
    accumulate: bool,
}

impl Kernel for Stride {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Stride { mut from, steps, mut to, count, accumulate } = self;
        for _ in 0..count {
            // SAFETY: so many floats can be read and written by the caller's promise.
            unsafe {
                *to = *from + if accumulate { *to } else { 0.0 };
                from = from.wrapping_add(steps[0]);
                to = to.wrapping_add(steps[1]);
            }
        }
    }
}

/// The other way, adding when `accumulate`.
///
/// # Safety
/// Nobody else may use the map meanwhile.
pub(super) unsafe fn from_chw(vector: &[f32], map: &Map, s: usize, accumulate: bool) {
    let pixels = map.view.h * map.view.w;
    if map.dense() && (pixels == 1 || map.view.c == 1) && !accumulate {
        assert_eq!(vector.len(), pixels * map.view.c);
        // SAFETY: the sample is dense, and both orders are the same.
        return unsafe { simd::map(&Copy, [vector.as_ptr()], map.at(s * pixels), vector.len()) };
    }
    let pixel_stride = map.view.pixel_stride;
    chunks(map, s, |c, plane, count, at| {
        let from = vector[plane..][..count].as_ptr();
        // SAFETY: so many pixels have this channel, a pixel stride apart; the rest is the caller's promise.
        unsafe { simd::dispatch(Stride { from, steps: [1, pixel_stride], to: at.add(c), count, accumulate }) };
    });
}

impl Operation for Flatten {
    fn forward(&self, frame: &Frame) {
        let (x, y) = (frame.map(self.step.inputs[0]), frame.map(self.step.output));
        // SAFETY: the plan keeps input and output apart; each task has its own samples.
        split(frame.pool, frame.n, y.view.c, |r| r.for_each(|s| unsafe { to_chw(&x, s, y.row_mut(s)) }));
    }

    fn backward(&self, frame: &Frame, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let Some(write) = step.dx[0] else { return };
        let (dy, dx) = (frame.map(step.dy), frame.map(write.view));
        split(frame.pool, frame.n, dy.view.c, |r| {
            // SAFETY: the plan keeps the gradients of input and output apart; each task has its own samples.
            r.for_each(|s| unsafe { from_chw(dy.row(s), &dx, s, write.accumulate) });
        });
    }
}
