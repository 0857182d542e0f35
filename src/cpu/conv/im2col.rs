//! Implicit im2col: the windows of a map as rows of a matrix that is never built.

use super::geometry::Geometry;
use crate::cpu::gemm::driver::Span;
use crate::cpu::memory::{FloatPtr, Map, split};
use crate::cpu::pool::Pool;
use crate::cpu::simd;
use crate::cpu::simd::map::Copy;
use crate::plan::View;

/// The windows of a map as rows of a matrix: the window of each output pixel starts at an offset in `rows`, and its floats
/// are at `taps` from there, which form `spans` of neighbours. With padding, the map is copied between zeros first.
pub(crate) struct Im2col {
    pub geometry: Geometry,
    input: View,
    n: usize,
    pub rows: Vec<u32>,
    pub taps: Vec<u32>,
    pub spans: Vec<Span>,
}

impl Im2col {
    pub(crate) fn new(geometry: Geometry, input: View, n: usize, output: [usize; 2]) -> Self {
        let mut im2col = Im2col { geometry, input, n, rows: vec![], taps: vec![], spans: vec![] };
        let [h, w] = im2col.padded_size();
        let pixel_stride = im2col.pixel_stride();
        let Geometry { kernel, stride, dilation, groups, .. } = geometry;
        for s in 0..n {
            for oy in 0..output[0] {
                let line = (s * h + oy * stride[0]).wrapping_mul(w);
                // Offsets that wrap belong to scratch memory whose size is refused.
                let offset = |ox| (line.wrapping_add(ox * stride[1])).wrapping_mul(pixel_stride) as u32;
                im2col.rows.extend((0..output[1]).map(offset));
            }
        }
        for ky in 0..kernel[0] {
            for kx in 0..kernel[1] {
                let offset =
                    (ky * dilation[0]).wrapping_mul(w).wrapping_add(kx * dilation[1]).wrapping_mul(pixel_stride);
                im2col.tap(offset, input.c / groups);
            }
        }
        im2col
    }

    /// Appends `len` neighbours, which may continue the last span.
    fn tap(&mut self, offset: usize, len: usize) {
        self.taps.extend((offset..offset + len).map(|t| t as u32));
        match self.spans.last_mut() {
            Some(span) if span.offset + span.len == offset => span.len += len,
            _ => self.spans.push(Span { offset, len }),
        }
    }

    pub(crate) fn is_padded(&self) -> bool {
        self.geometry.pads != [0; 4]
    }

    /// Returns height and width of the input with its padding.
    pub(crate) fn padded_size(&self) -> [usize; 2] {
        let [top, left, bottom, right] = self.geometry.pads;
        [self.input.h + top + bottom, self.input.w + left + right]
    }

    /// Floats from one pixel to the next in what the rows index.
    fn pixel_stride(&self) -> usize {
        if self.is_padded() { self.input.c } else { self.input.pixel_stride }
    }

    /// Floats of the padded copy; 0 when there is none.
    pub(crate) fn scratch(&self) -> usize {
        let [h, w] = self.padded_size();
        if self.is_padded() { [h, w, self.input.c].iter().fold(self.n, |a, &b| a.saturating_mul(b)) } else { 0 }
    }

    /// Returns the memory that the rows index: the map itself, or its padded copy in `scratch`.
    ///
    /// # Safety
    /// No task may write to the map meanwhile; `scratch` must hold [`Im2col::scratch`] floats that nothing else uses.
    pub(crate) unsafe fn pad_input(&self, pool: &Pool, map: &Map, scratch: FloatPtr) -> FloatPtr {
        if !self.is_padded() {
            return map.channel(0);
        }
        let [top, left, _, right] = self.geometry.pads;
        let ([h, w], c) = (self.padded_size(), self.input.c);
        split(pool, self.n * h, w * c, |lines| {
            for line in lines {
                // SAFETY: each task has its own lines of the copy.
                let to = unsafe { std::slice::from_raw_parts_mut(scratch.at(line * w * c), w * c) };
                let (s, y) = (line / h, line % h);
                if y < top || y >= top + self.input.h {
                    to.fill(0.0);
                    continue;
                }
                let (border, rest) = to.split_at_mut(left * c);
                let (inside, end) = rest.split_at_mut(self.input.w * c);
                border.fill(0.0);
                end.fill(0.0);
                debug_assert_eq!(end.len(), right * c);
                let first = (s * self.input.h + y - top) * self.input.w;
                // SAFETY: a line of the map, dense or pixel by pixel.
                unsafe {
                    if map.dense() {
                        simd::map_raw(&Copy, [map.at(first).cast_const()], inside.as_mut_ptr(), inside.len());
                    } else {
                        for (x, pixel) in inside.chunks_exact_mut(c).enumerate() {
                            simd::map_raw(&Copy, [map.at(first + x).cast_const()], pixel.as_mut_ptr(), c);
                        }
                    }
                }
            }
        });
        scratch
    }
}

/// A part of the scratch memory of this size, rounded up to cache lines.
pub(crate) fn aligned(floats: usize) -> usize {
    floats.checked_next_multiple_of(16).unwrap_or(usize::MAX)
}
