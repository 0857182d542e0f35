//! Conversion of samples between NHWC, the order of maps, and NCHW, the order of callers.

use super::memory::Map;
use super::rows::{Rows, RowsMut};
use super::simd::map::Copy;
use super::simd::{self, Kernel, Simd};

/// Floats that are rearranged at a time.
const CHUNK_FLOATS: usize = 4096;

/// Copies sample `s` of a map to a vector in CHW order.
pub(super) fn to_chw(rows: Rows, s: usize, vector: &mut [f32]) {
    let map = rows.map();
    let pixels = map.view.h * map.view.w;
    if map.dense() && (pixels == 1 || map.view.c == 1) {
        assert_eq!(vector.len(), pixels * map.view.c);
        // SAFETY: the sample is dense, and CHW and NHWC are equal orders for one pixel or one channel.
        return unsafe { simd::map_raw(&Copy, [map.at(s * pixels).cast_const()], vector.as_mut_ptr(), vector.len()) };
    }
    let pixel_stride = map.view.pixel_stride;
    chunks(map, s, |c, plane, count, at| {
        let to = vector[plane..][..count].as_mut_ptr();
        // SAFETY: `count` pixels have this channel, a pixel stride apart, and no task writes to a map that others read.
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

/// Kernel that copies floats at one stride to floats at another.
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
    unsafe fn run<S: Simd>(self, _s: S) {
        let Stride { mut from, steps, mut to, count, accumulate } = self;
        for _ in 0..count {
            // SAFETY: `count` floats can be read and written, a step apart.
            unsafe {
                *to = *from + if accumulate { *to } else { 0.0 };
                from = from.wrapping_add(steps[0]);
                to = to.wrapping_add(steps[1]);
            }
        }
    }
}

/// Copies a vector in CHW order to sample `s` of a map, or adds it there when `accumulate`.
pub(super) fn from_chw(vector: &[f32], rows: &mut RowsMut, s: usize, accumulate: bool) {
    let map = rows.sample(s);
    let pixels = map.view.h * map.view.w;
    if map.dense() && (pixels == 1 || map.view.c == 1) && !accumulate {
        assert_eq!(vector.len(), pixels * map.view.c);
        // SAFETY: the sample is dense, and CHW and NHWC are equal orders for one pixel or one channel.
        return unsafe { simd::map_raw(&Copy, [vector.as_ptr()], map.at(s * pixels), vector.len()) };
    }
    let pixel_stride = map.view.pixel_stride;
    chunks(map, s, |c, plane, count, at| {
        let from = vector[plane..][..count].as_ptr();
        // SAFETY: `count` pixels have this channel, a pixel stride apart, and this task alone has the sample.
        unsafe { simd::dispatch(Stride { from, steps: [1, pixel_stride], to: at.add(c), count, accumulate }) };
    });
}
