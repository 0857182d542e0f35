//! Linear layers whose weights stay in 8 bits, as in their file, while inputs and sums are floats. At small batches
//! reading the weights takes all of the time of such a layer, and quantized weights are a quarter of the bytes.

use super::driver::{Microkernel, Operands, Span};
use super::epilogue::{Addend, Bounds, Start};
use super::f32::Gemm;
use super::layout::Layout;
use super::panels::Panels;
use super::weights::Weights;
use crate::cpu::memory::FloatPtr;
use crate::cpu::pool::Pool;
use crate::cpu::simd::{self, Kernel, MAX_LANES, Simd};

/// Rows of a panel that are dequantized at a time, to stay in the first-level cache.
const ROWS: usize = 512;

/// True if the quantized weights of a layer can be packed for [`multiply`], two channels in an element.
pub(crate) fn can_hold(layout: &Layout) -> bool {
    layout.groups == 1 && layout.cig.is_multiple_of(2)
}

/// Returns the floats of scratch memory that [`multiply`] needs.
pub(crate) fn scratch(threads: usize) -> usize {
    threads * ROWS * 2 * MAX_LANES
}

/// Computes a product whose right matrix is quantized weights times their scales; `gemm.right` is not read.
///
/// # Safety
/// The operands must be valid as for [`Microkernel::run`]; `scratch` must hold [`scratch`] floats that nothing else uses.
pub(crate) unsafe fn multiply(pool: &Pool, gemm: &Gemm, weights: &Weights, scratch: FloatPtr) {
    let Operands { panels, addend, pixel_stride, .. } = gemm.operands;
    pool.run_on(panels.count(), &|thread, panel| {
        let (column, width, n) = (panels.column(panel), panels.width(panel), panels.columns(panel));
        let (mut row, last) = (0, panels.k);
        // SAFETY: each thread has its own floats, each task its own columns of the output.
        unsafe {
            let floats = scratch.from(thread * ROWS * 2 * MAX_LANES);
            let out = gemm.operands.out.from(column);
            for span in gemm.operands.spans.iter().flat_map(pieces) {
                let values = &weights.weight.as_i8()[panels.start(panel) + row * width..][..span.len * width];
                let scales = &weights.scales[column..][..width];
                simd::dispatch(Dequantize { values, scales, to: floats.start(), rows: span.len });
                let first = row == 0;
                row += span.len;
                let operands = Operands {
                    spans: &[span],
                    panels: Panels { k: span.len, n, ..panels },
                    addend: match addend {
                        Some(Addend { from, pixel_stride }) if first => {
                            Some(Addend { from: from.from(column), pixel_stride })
                        }
                        None if first => None,
                        _ => Some(Addend { from: out, pixel_stride }),
                    },
                    out,
                    ..gemm.operands
                };
                let part = Gemm {
                    operands,
                    right: std::slice::from_raw_parts(floats.start(), span.len * width),
                    start: match gemm.start {
                        Start::Bias(bias) if first => Start::Bias(&bias[column..][..width]),
                        _ => Start::Zero,
                    },
                    bounds: if row == last { gemm.bounds } else { Bounds::NONE },
                };
                part.block(0..operands.rows.len(), 0..1);
            }
        }
    });
}

/// Divides a span into parts of at most [`ROWS`].
fn pieces(span: &Span) -> impl Iterator<Item = Span> {
    let Span { offset, len } = *span;
    (0..len).step_by(ROWS).map(move |start| Span { offset: offset + start, len: ROWS.min(len - start) })
}

/// Kernel that dequantizes rows of a panel, two in an element.
struct Dequantize<'a> {
    values: &'a [i8],
    /// Scale of each column.
    scales: &'a [f32],
    /// A float for each quantized weight.
    to: *mut f32,
    /// An even number.
    rows: usize,
}

impl Kernel for Dequantize<'_> {
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
                    let pairs = s.load_i8_as_i16(self.values.as_ptr().add(2 * (pair * width + column)));
                    let to = self.to.add(2 * pair * width + column);
                    s.store(to, s.mul(scale, s.to_float(s.dot_i16(pairs, even, zero))));
                    s.store(to.add(width), s.mul(scale, s.to_float(s.dot_i16(pairs, odd, zero))));
                }
            }
        }
    }
}
