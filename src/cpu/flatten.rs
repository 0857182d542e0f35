//! Flatten where its order is seen: from pixels of channels to the order CHW, and back.

use super::elementwise::Copy;
use super::memory::{Map, split};
use super::operation::{Frame, Operation};
use super::simd;
use super::weights::Weights;
use crate::plan::{BackwardStep, Step};

/// Map to vector.
pub(super) struct Flatten {
    pub step: Step,
}

/// Copies sample `s` of a map to a vector in CHW order.
///
/// # Safety
/// Nobody may write to the map meanwhile.
pub(super) unsafe fn to_chw(map: &Map, s: usize, vector: &mut [f32]) {
    let pixels = map.place.h * map.place.w;
    if map.dense() && (pixels == 1 || map.place.c == 1) {
        assert_eq!(vector.len(), pixels * map.place.c);
        // SAFETY: the sample is dense, and both orders are the same.
        return unsafe { simd::map(&Copy, [map.at(s * pixels).cast_const()], vector.as_mut_ptr(), vector.len()) };
    }
    for p in 0..pixels {
        // SAFETY: the caller's promise.
        let row = unsafe { map.row(s * pixels + p) };
        row.iter().enumerate().for_each(|(c, &v)| vector[c * pixels + p] = v);
    }
}

/// The other way, adding when `accumulate`.
///
/// # Safety
/// Nobody else may use the map meanwhile.
pub(super) unsafe fn from_chw(vector: &[f32], map: &Map, s: usize, accumulate: bool) {
    let pixels = map.place.h * map.place.w;
    if map.dense() && (pixels == 1 || map.place.c == 1) && !accumulate {
        assert_eq!(vector.len(), pixels * map.place.c);
        // SAFETY: the sample is dense, and both orders are the same.
        return unsafe { simd::map(&Copy, [vector.as_ptr()], map.at(s * pixels), vector.len()) };
    }
    for p in 0..pixels {
        // SAFETY: the caller's promise.
        let row = unsafe { map.row_mut(s * pixels + p) };
        for (c, v) in row.iter_mut().enumerate() {
            *v = vector[c * pixels + p] + if accumulate { *v } else { 0.0 };
        }
    }
}

impl Operation for Flatten {
    fn forward(&self, frame: &Frame) {
        let (x, y) = (frame.map(self.step.inputs[0]), frame.map(self.step.output));
        // SAFETY: the plan keeps input and output apart; each task has its own samples.
        split(frame.pool, frame.n, y.place.c, |r| r.for_each(|s| unsafe { to_chw(&x, s, y.row_mut(s)) }));
    }

    fn backward(&self, frame: &Frame, step: &BackwardStep, _gradients: Option<&mut Weights>) {
        let Some(write) = step.dx[0] else { return };
        let (dy, dx) = (frame.map(step.dy), frame.map(write.place));
        split(frame.pool, frame.n, dy.place.c, |r| {
            // SAFETY: the plan keeps the gradients of input and output apart; each task has its own samples.
            r.for_each(|s| unsafe { from_chw(dy.row(s), &dx, s, write.accumulate) });
        });
    }
}
