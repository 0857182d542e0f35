//! Linear layers whose weights stay in 8 bits, as their file has them, while inputs and sums are floats. At small batches
//! such a layer takes as long as reading its weights does; codes are a quarter of the bytes.

use super::gemm::{Addend, Bounds, Gemm, Panels, Run, Start};
use super::int8;
use super::memory::Shared;
use super::pool::Pool;
use super::simd::{self, Kernel, MAX_LANES, Simd};
use super::weights::{Layout, Weights};

/// Rows of a panel that are floats at a time: what stays in the first-level cache.
const ROWS: usize = 512;

/// Whether a layer's codes can be read as they are packed: two channels in a word.
pub(super) fn can_hold(layout: &Layout) -> bool {
    layout.groups == 1 && layout.cig.is_multiple_of(2)
}

/// Floats of scratch memory that [`multiply`] needs.
pub(super) fn scratch(threads: usize) -> usize {
    threads * ROWS * 2 * MAX_LANES
}

/// [`Gemm::run`], whose right matrix are the weights' codes times their scales.
///
/// # Safety
/// As [`Gemm::run`]; `scratch` must be for nobody else.
pub(super) unsafe fn multiply(pool: &Pool, gemm: &Gemm, weights: &Weights, scratch: Shared) {
    let panels = gemm.panels;
    pool.run_on(panels.count(), &|thread, panel| {
        let (column, width, n) = (panels.column(panel), panels.width(panel), panels.columns(panel));
        let (mut row, last) = (0, panels.k);
        // SAFETY: each thread has its own floats, each task its own columns of the output.
        unsafe {
            let floats = scratch.from(thread * ROWS * 2 * MAX_LANES);
            let out = gemm.out.from(column);
            for run in gemm.runs.iter().flat_map(pieces) {
                let codes = &int8::bytes(&weights.weight)[panels.start(panel) + row * width..][..run.len * width];
                let scales = &weights.scales[column..][..width];
                simd::dispatch(Expand { codes, scales, to: floats.start(), rows: run.len });
                let first = row == 0;
                row += run.len;
                let part = Gemm {
                    runs: &[run],
                    right: std::slice::from_raw_parts(floats.start(), run.len * width),
                    panels: Panels { k: run.len, n, ..panels },
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

/// A run in parts of at most [`ROWS`].
fn pieces(run: &Run) -> impl Iterator<Item = Run> {
    let Run { offset, len } = *run;
    (0..len).step_by(ROWS).map(move |start| Run { offset: offset + start, len: ROWS.min(len - start) })
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
    unsafe fn run<S: Simd>(self) {
        let (width, zero) = (self.scales.len(), [0f32; 1]);
        let (even, odd) = ([f32::from_bits(1)], [f32::from_bits(1 << 16)]);
        // SAFETY: a panel's rows are as long as its scales, one vector or two.
        unsafe {
            let (zero, even, odd) = (S::splat(zero[0]), S::splat_pair(even.as_ptr()), S::splat_pair(odd.as_ptr()));
            for column in (0..width).step_by(S::LANES) {
                let scale = S::load(self.scales.as_ptr().add(column));
                for pair in 0..self.rows / 2 {
                    let codes = S::load_pairs(self.codes.as_ptr().add(2 * (pair * width + column)));
                    let to = self.to.add(2 * pair * width + column);
                    S::store(to, S::mul(scale, S::to_float(S::dot(codes, even, zero))));
                    S::store(to.add(width), S::mul(scale, S::to_float(S::dot(codes, odd, zero))));
                }
            }
        }
    }
}
