//! Linear layers whose weights stay in 8 bits, as their file has them, while inputs and sums are floats. At small batches
//! such a layer takes as long as reading its weights does; codes are a quarter of the bytes.

use super::driver::Span;
use super::epilogue::{Addend, Bounds, Start};
use super::f32::Gemm;
use super::layout::Layout;
use super::panels::Panels;
use super::weights::Weights;
use crate::cpu::memory::FloatPtr;
use crate::cpu::pool::Pool;
use crate::cpu::simd::{self, Kernel, MAX_LANES, Simd};

/// Rows of a panel that are floats at a time: what stays in the first-level cache.
const ROWS: usize = 512;

/// Whether a layer's codes can be read as they are packed: two channels in a word.
pub(crate) fn can_hold(layout: &Layout) -> bool {
    layout.groups == 1 && layout.cig.is_multiple_of(2)
}

/// Floats of scratch memory that [`multiply`] needs.
pub(crate) fn scratch(threads: usize) -> usize {
    threads * ROWS * 2 * MAX_LANES
}

/// [`Gemm::run`], whose right matrix are the weights' codes times their scales.
///
/// # Safety
/// As [`Gemm::run`]; `scratch` must be for nobody else.
pub(crate) unsafe fn multiply(pool: &Pool, gemm: &Gemm, weights: &Weights, scratch: FloatPtr) {
    let panels = gemm.panels;
    pool.run_on(panels.count(), &|thread, panel| {
        let (column, width, n) = (panels.column(panel), panels.width(panel), panels.columns(panel));
        let (mut row, last) = (0, panels.k);
        // SAFETY: each thread has its own floats, each task its own columns of the output.
        unsafe {
            let floats = scratch.from(thread * ROWS * 2 * MAX_LANES);
            let out = gemm.out.from(column);
            for span in gemm.spans.iter().flat_map(pieces) {
                let codes = &weights.weight.as_i8()[panels.start(panel) + row * width..][..span.len * width];
                let scales = &weights.scales[column..][..width];
                simd::dispatch(Expand { codes, scales, to: floats.start(), rows: span.len });
                let first = row == 0;
                row += span.len;
                let part = Gemm {
                    spans: &[span],
                    right: std::slice::from_raw_parts(floats.start(), span.len * width),
                    panels: Panels { k: span.len, n, ..panels },
                    start: match gemm.start {
                        Start::Bias(bias) if first => Start::Bias(&bias[column..][..width]),
                        _ => Start::Zero,
                    },
                    addend: match gemm.addend {
                        Some(Addend { from, pixel_stride }) if first => {
                            Some(Addend { from: from.from(column), pixel_stride })
                        }
                        None if first => None,
                        _ => Some(Addend { from: out, pixel_stride: gemm.pixel_stride }),
                    },
                    bounds: if row == last { gemm.bounds } else { Bounds::NONE },
                    out,
                    ..*gemm
                };
                part.block(0..part.rows.len(), 0..1);
            }
        }
    });
}

/// A span in parts of at most [`ROWS`].
fn pieces(span: &Span) -> impl Iterator<Item = Span> {
    let Span { offset, len } = *span;
    (0..len).step_by(ROWS).map(move |start| Span { offset: offset + start, len: ROWS.min(len - start) })
}

/// Rows of a panel, two in a word, as floats.
struct Expand<'a> {
    codes: &'a [i8],
    /// Of each column.
    scales: &'a [f32],
    /// As many floats as codes.
    to: *mut f32,
    /// An even number.
    rows: usize,
}

impl Kernel for Expand<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        let width = self.scales.len();
        let (even, odd) = ([1i16, 0], [0i16, 1]);
        // SAFETY: a panel's rows are as long as its scales, one vector or two.
        unsafe {
            let (zero, even, odd) = (s.zero_i32(), s.splat_i16(&even), s.splat_i16(&odd));
            for column in (0..width).step_by(S::LANES) {
                let scale = s.load(self.scales.as_ptr().add(column));
                for pair in 0..self.rows / 2 {
                    let codes = s.load_i8_as_i16(self.codes.as_ptr().add(2 * (pair * width + column)));
                    let to = self.to.add(2 * pair * width + column);
                    s.store(to, s.mul(scale, s.to_float(s.dot_i16(codes, even, zero))));
                    s.store(to.add(width), s.mul(scale, s.to_float(s.dot_i16(codes, odd, zero))));
                }
            }
        }
    }
}
