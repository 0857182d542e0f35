//! Convolutions and linear layers of quantized numbers: weights of 8 bits with a scale for each output channel, and inputs
//! of 8 bits and a sign with one scale for the whole map, which calibration has found.
//!
//! A layer quantizes its input into scratch memory, multiplies the integers exactly, and dequantizes the sums:
//! `y = sum * (input scale * weight scale) + bias`. Inputs are kept in 16 bits, two channels in an element of 32 bits,
//! because every machine has an instruction that multiplies them; so the sign takes no time, and all machines give equal
//! results. Where no input is negative and the processor has an exact product of u8 and i8
//! ([`simd::has_exact_dot_u8`]), an element holds four channels: equal sums at more than twice the speed. Rows are offsets
//! that share their spans, as in `gemm/f32.rs`, in units of elements.

use super::geometry::Geometry;
use super::im2col::Im2col;
use crate::cpu::gemm::driver::{Microkernel, Operands};
use crate::cpu::gemm::epilogue::{Addend, Bounds, Requantize};
use crate::cpu::gemm::int8::Int8Gemm;
use crate::cpu::gemm::layout::Layout;
use crate::cpu::memory::{Buffer, FloatPtr, Map, split, stretches};
use crate::cpu::operation::{ExecContext, Operation};
use crate::cpu::pool::Pool;
use crate::cpu::simd::{self, Kernel, MAGIC, MAX_LANES, Simd};
use crate::layers::Activation;
use crate::plan::{Step, View};
use crate::tensor::quantized::INPUT_LEVELS;

/// A convolution or linear layer in integers.
pub(crate) struct Int8 {
    step: Step,
    layout: Layout,
    /// The windows of the quantized map, in elements.
    im2col: Im2col,
    top: usize,
    left: usize,
    n: usize,
}

impl Int8 {
    pub(crate) fn new(geometry: Geometry, layout: Layout, step: Step, n: usize) -> Self {
        let (x, y, words) = (step.inputs[0], step.output, layout.groups * layout.packed_channels());
        let codes = View { offset: 0, pixel_stride: words, c: words, ..x };
        let [top, left, ..] = geometry.pads;
        Int8 { im2col: Im2col::new(geometry, codes, n, [y.h, y.w]), step, layout, top, left, n }
    }

    /// Quantizes a batch of maps into `scratch`, between zeros where there is padding.
    ///
    /// # Safety
    /// No task may write to the map meanwhile; `scratch` must hold [`Operation::scratch`] floats that nothing else uses.
    unsafe fn quantize(&self, pool: &Pool, x: &Map, inverse: f32, scratch: FloatPtr) {
        let ([h, w], Layout { groups, cig, packing_factor, .. }) = (self.im2col.padded_size(), self.layout);
        let words = self.layout.packed_channels();
        let pixel = groups * words;
        split(pool, self.n * h, 2 * w * pixel, |lines| {
            for line in lines {
                let (s, y) = (line / h, (line % h).wrapping_sub(self.top));
                // SAFETY: each task has its own lines of the scratch memory, and the map has the pixels of each.
                unsafe {
                    let to = std::slice::from_raw_parts_mut(scratch.at(line * w * pixel), w * pixel);
                    if y >= x.view.h {
                        to.fill(0.0);
                        continue;
                    }
                    let (border, rest) = to.split_at_mut(self.left * pixel);
                    let (inside, end) = rest.split_at_mut(x.view.w * pixel);
                    border.fill(0.0);
                    end.fill(0.0);
                    let first = (s * x.view.h + y) * x.view.w;
                    let whole = x.dense() && groups * packing_factor * words == x.view.c;
                    stretches(whole, x.view.c, 0..x.view.w, |p, floats| {
                        let n = if whole { floats } else { cig };
                        for g in 0..floats / n {
                            let x = x.at(first + p).add(g * cig).cast_const();
                            let y = inside.as_mut_ptr().add(p * pixel + g * words);
                            match packing_factor {
                                4 => simd::dispatch(QuantizeBytes { x, y, n, inverse }),
                                _ => simd::dispatch(Quantize { x, y, n, inverse }),
                            }
                        }
                    });
                }
            }
        });
    }
}

impl Operation for Int8 {
    fn forward(&self, ctx: &ExecContext) {
        let (x, y) = (ctx.map(self.step.inputs[0]), ctx.map(self.step.output));
        let weights = ctx.weights(self.step.node);
        let addend = self.step.inputs.get(1).map(|&view| ctx.map(view));
        let Layout { groups, panels, packing_factor, .. } = self.layout;
        let floats = packing_factor * panels.floats();
        // SAFETY: the plan keeps inputs and output apart; the scratch memory holds the quantized map.
        unsafe {
            self.quantize(ctx.pool, &x, INPUT_LEVELS / weights.range, ctx.scratch);
            for g in 0..groups {
                let operands = Operands {
                    left: ctx.scratch.from(g * self.layout.packed_channels()),
                    rows: &self.im2col.rows,
                    spans: &self.im2col.spans,
                    panels,
                    addend: addend.as_ref().map(Addend::of),
                    out: y.channel(g * panels.n),
                    pixel_stride: y.view.pixel_stride,
                };
                let gemm = Int8Gemm {
                    operands,
                    right: &weights.weight.as_i8()[g * floats..][..floats],
                    packing_factor,
                    scales: self.layout.group_bias(&weights.scales, g),
                    bias: self.layout.group_bias(&weights.bias, g),
                    requantize: Requantize::of(self.step.requantize),
                    activation: Requantize::of(self.step.activation),
                };
                gemm.run(ctx.pool);
            }
            let others = self.step.activation.filter(|a| !matches!(a, Activation::FakeQuantize { .. }));
            Bounds::activate_others(ctx.pool, others, &y);
        }
    }

    fn scratch(&self) -> usize {
        let [h, w] = self.im2col.padded_size();
        [h, w, self.layout.groups, self.layout.packed_channels()].iter().fold(self.n, |a, &b| a.saturating_mul(b))
    }
}

/// Returns the floats of memory that packed weights take.
pub(crate) fn floats(layout: &Layout) -> usize {
    (layout.groups * layout.packing_factor * layout.panels.floats()).div_ceil(4)
}

/// Packs weights of 8 bits into panels whose elements hold [`Layout::packing_factor`] channels.
pub(crate) fn pack(layout: &Layout, values: &[i8]) -> Buffer {
    let mut packed = Buffer::zeros(floats(layout));
    let to = packed.as_i8_mut();
    exchange(layout, |from, at| to[at] = values[from]);
    packed
}

/// Inverse of [`pack`].
pub(crate) fn unpack(layout: &Layout, packed: &Buffer) -> Vec<i8> {
    let Layout { groups, cig, taps, panels, .. } = *layout;
    let mut values = vec![0; groups * panels.n * cig * taps];
    let from = packed.as_i8();
    exchange(layout, |to, at| values[to] = from[at]);
    values
}

/// Calls `f(place in OIHW, place in the panels)` for every weight.
#[inline(always)]
fn exchange(layout: &Layout, mut f: impl FnMut(usize, usize)) {
    let Layout { groups, cig, taps, panels, packing_factor, .. } = *layout;
    let (mut oihw, words) = (0, layout.packed_channels());
    for o in 0..groups * panels.n {
        let (start, width) = panels.view(o % panels.n);
        let start = o / panels.n * panels.floats() + start;
        for c in 0..cig {
            for tap in 0..taps {
                f(oihw, packing_factor * (start + (tap * words + c / packing_factor) * width) + c % packing_factor);
                oihw += 1;
            }
        }
    }
}

/// Kernel that computes `y = round(x * inverse)` within the levels, half to even, two in an element. For an odd `n` the
/// upper half of the last element is zero.
struct Quantize {
    /// n floats.
    x: *const f32,
    /// An integer for each float, packed.
    y: *mut f32,
    n: usize,
    inverse: f32,
}

impl Kernel for Quantize {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        let Quantize { x, y, n, inverse } = self;
        // SAFETY: all accesses are below n floats and the elements that hold n integers.
        unsafe {
            let code = |x| {
                let x = s.mul(x, s.splat(inverse));
                let x = s.at_most(s.at_least(x, s.splat(-INPUT_LEVELS)), s.splat(INPUT_LEVELS));
                // Not fused, so that every machine rounds twice.
                s.to_bits(s.add(x, s.splat(MAGIC)))
            };
            let mut i = 0;
            while i + 2 * S::LANES <= n {
                let (a, b) = (s.load(x.add(i)), s.load(x.add(i + S::LANES)));
                s.store_i16(y.add(i / 2), s.narrow(code(a), code(b)), S::LANES);
                i += 2 * S::LANES;
            }
            let rest = n - i;
            if rest >= S::LANES {
                let (a, b) = (s.load(x.add(i)), s.load_part(x.add(i + S::LANES), rest - S::LANES));
                s.store_i16(y.add(i / 2), s.narrow(code(a), code(b)), rest.div_ceil(2));
            } else if rest > 0 {
                let codes = s.narrow(code(s.load_part(x.add(i), rest)), s.zero_i32());
                s.store_i16(y.add(i / 2), codes, rest.div_ceil(2));
            }
        }
    }
}

/// Rounds inputs that are not negative to bytes, four in an element, as [`Quantize`] does to 16 bits.
struct QuantizeBytes {
    /// n floats.
    x: *const f32,
    /// An integer for each float, packed.
    y: *mut f32,
    n: usize,
    inverse: f32,
}

impl Kernel for QuantizeBytes {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        if !S::DOT_U8 {
            return; // Never chosen.
        }
        let QuantizeBytes { x, y, n, inverse } = self;
        // SAFETY: all accesses are below n floats and the elements that hold n integers, or in memory of its own.
        unsafe {
            let code = |x: *const f32| {
                let x = s.mul(s.load(x), s.splat(inverse));
                let x = s.at_most(s.at_least(x, s.splat(0.0)), s.splat(INPUT_LEVELS));
                s.to_bits(s.add(x, s.splat(MAGIC)))
            };
            let codes = |x: *const f32| {
                let pair = |i: usize| s.narrow(code(x.add(i * S::LANES)), code(x.add((i + 1) * S::LANES)));
                s.narrow_u8(pair(0), pair(2))
            };
            let mut i = 0;
            while i + 4 * S::LANES <= n {
                s.store_i8(y.add(i / 4), codes(x.add(i)), S::LANES);
                i += 4 * S::LANES;
            }
            if i < n {
                let mut rest = [0f32; 4 * MAX_LANES];
                std::ptr::copy_nonoverlapping(x.add(i), rest.as_mut_ptr(), n - i);
                s.store_i8(y.add(i / 4), codes(rest.as_ptr()), (n - i).div_ceil(4));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// Every remainder, in plain code and on every instruction set of this machine: as the formula says, and nothing beyond.
    #[test]
    fn codes_are_the_same_everywhere() {
        let mut rng = Rng::new(3, 3);
        for n in 1..=40 {
            let x: Vec<f32> =
                (0..n).map(|i| if i % 5 == 0 { i as f32 - 9.5 } else { rng.range(-300.0, 300.0) }).collect();
            let inverse = 0.9;
            let want: Vec<i16> =
                x.iter().map(|x| (x * inverse).clamp(-INPUT_LEVELS, INPUT_LEVELS).round_ties_even() as i16).collect();
            let kernel = |y: &mut [f32]| Quantize { x: x.as_ptr(), y: y.as_mut_ptr(), n, inverse };
            let check = |run: &dyn Fn(&mut [f32])| {
                let mut y = vec![7.0; n.div_ceil(2) + 1];
                run(&mut y);
                let halves = |w: &f32| [w.to_bits() as i16, (w.to_bits() >> 16) as i16];
                let mut got: Vec<i16> = y[..n.div_ceil(2)].iter().flat_map(halves).collect();
                assert!(n % 2 == 0 || got.pop() == Some(0));
                assert_eq!((&got, y[n.div_ceil(2)]), (&want, 7.0));
            };
            // SAFETY: x holds n floats and y an integer for each; SSE2 is part of x86-64.
            unsafe {
                check(&|y| simd::dispatch(kernel(y)));
                check(&|y| kernel(y).run(simd::portable::Portable));
                check(&|y| kernel(y).run(simd::doubled::Doubled(simd::portable::Portable)));
                #[cfg(target_arch = "x86_64")]
                check(&|y| kernel(y).run(simd::x86::Sse));
            }
        }
    }
}
