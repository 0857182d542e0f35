//! Winograd's minimal filtering (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015) of 6x6 inputs
//! with 36 multiplications for each pair of channels: F(4x4, 3x3), 4x4 outputs instead of 144 multiplications, and
//! F(2x2, 5x5), 2x2 outputs instead of 100.
//!
//! `Y = A^T [(G g G^T) * (B^T d B)] A`. Kernels are transformed when they are packed. For tiles, the products over
//! channels are 36 matrix multiplications, tiles times input channels times output channels, one for each position. The
//! input transform `B^T d B` is shared by both kernel sizes. The output and kernel transforms of the two sizes differ only
//! in the number of powers of the points.
//!
//! The points of interpolation are 0, ±a, ±b and infinity with a = 1/√2 and b = √2 = 1/a. Compared with the usual 0, ±1,
//! ±2 this makes the transforms' numbers smaller and the rounding error a quarter.

use std::ops::Range;

use super::geometry::Geometry;
use crate::cpu::config::OpConfig;
use crate::cpu::gemm::driver::{Microkernel, Operands, Span};
use crate::cpu::gemm::epilogue::{Bounds, Start};
use crate::cpu::gemm::f32::Gemm;
use crate::cpu::gemm::layout::Layout;
use crate::cpu::gemm::panels::Panels;
use crate::cpu::gemm::weights::Weights;
use crate::cpu::memory::{Buffer, FloatPtr};
use crate::cpu::operation::{ExecContext, Operation};
use crate::cpu::simd::{self, Kernel, Simd};
use crate::plan::Step;

const A: f64 = std::f64::consts::FRAC_1_SQRT_2;
const B: f64 = std::f64::consts::SQRT_2;

/// Inputs of a tile along an axis.
const IN: usize = 6;
/// Positions in a transformed tile.
pub(crate) const PLANES: usize = IN * IN;

/// Floats between planes, so that the positions of a tile fall into different sets of the cache.
const PLANE_PADDING: usize = 16;

/// Floats that a block of transformed tiles and their products may have, to stay in the second-level cache.
const BLOCK_FLOATS: usize = 160 * 1024;

/// Tiles that a block has at least, so that the weights are not read too often.
const BLOCK_TILES: usize = 50;

/// Minimum tiles per thread for giving each thread its own blocks. Below it, threads share a block, each multiplies with
/// some of the weights, and each repeats the input transform: cheaper than a barrier plus traffic between the caches.
const OWN_TILES: usize = 24;

/// Output channels up to which threads have blocks of their own even with fewer tiles: transforming the tiles twice would
/// take as long as multiplying them by half of so few columns.
const OWN_OUTPUTS: usize = 48;

/// Outputs of a tile along an axis, for a kernel of this size.
pub(crate) const fn outputs(kernel: usize) -> usize {
    IN + 1 - kernel
}

/// A 3x3 or 5x5 convolution with stride 1.
pub(crate) struct Winograd {
    step: Step,
    layout: Layout,
    pads: [usize; 4],
    /// Outputs of a tile along an axis.
    out: usize,
    /// Rows and columns of tiles.
    grid: [usize; 2],
    /// Tiles of the batch.
    tiles: usize,
    /// Blocks of a group.
    blocks: usize,
    /// Where each tile's channels start in a plane, of the largest block.
    rows: Vec<u32>,
    /// Threads that share a block: each transforms all of its tiles and has some panels. One where there are blocks for all.
    shares: usize,
    /// Blocks, or parts of one, that are worked on at once.
    threads: usize,
}

impl Winograd {
    pub(crate) fn new(geometry: Geometry, layout: Layout, step: Step, config: &OpConfig) -> Self {
        let (Panels { k, n, .. }, y) = (layout.panels, step.output);
        let out = outputs(geometry.kernel[0]);
        let grid = [y.h.div_ceil(out), y.w.div_ceil(out)];
        let tiles = config.n * grid[0] * grid[1];
        let most = (BLOCK_FLOATS / (PLANES * (k + n))).max(BLOCK_TILES);
        let threads = config.pool.threads();
        let owned = tiles >= OWN_TILES * threads || n <= OWN_OUTPUTS;
        let shares = if owned { 1 } else { threads.min(parts(&layout.panels)) };
        let blocks = tiles.div_ceil(most).next_multiple_of(threads / shares);
        let rows = (0..largest(tiles, blocks)).map(|t| (t * k) as u32).collect();
        Winograd { pads: geometry.pads, layout, step, out, grid, tiles, blocks, rows, shares, threads }
    }

    /// Floats from one plane to the next: of the transformed tiles, and of their products.
    fn planes(&self) -> [usize; 2] {
        [self.layout.panels.k, self.layout.panels.n].map(|c| padded_plane(self.rows.len() * c))
    }

    /// Floats of a [`Block`]'s memory.
    fn region(&self) -> usize {
        let [transformed, products] = self.planes();
        padded_plane(self.layout.panels.k) + PLANES * (transformed + products)
    }

    /// Computes a share of the output channels of a block.
    ///
    /// # Safety
    /// Nothing else may use the block's memory meanwhile.
    unsafe fn block(&self, ctx: &ExecContext, block: &Block, share: usize) {
        let weights = ctx.weights(self.step.node);
        let part = |share| parts(&self.layout.panels) * share / self.shares;
        let end = if share + 1 == self.shares { self.layout.panels.count() } else { part(share + 1) };
        let (panels, tiles) = (part(share)..end, 0..block.tiles.len());
        // SAFETY: shares have their own panels; the plan keeps inputs and output apart.
        unsafe {
            std::slice::from_raw_parts_mut(block.zeros.at(0), self.layout.panels.k).fill(0.0);
            tiles.clone().for_each(|t| self.input_transform(ctx, block, t));
            (0..PLANES).for_each(|plane| self.multiply(weights, block, plane, panels.clone()));
            tiles.for_each(|t| self.output_transform(ctx, weights, block, t, panels.clone()));
        }
    }

    /// The sample of a tile, and its first output pixel.
    fn origin(&self, tile: usize) -> (usize, usize, usize) {
        let [rows, columns] = self.grid;
        (tile / (rows * columns), tile / columns % rows * self.out, tile % columns * self.out)
    }

    /// Applies the input transform to tile `t` of a block.
    ///
    /// # Safety
    /// As [`Winograd::block`]; nothing else may use this tile's part of the planes.
    unsafe fn input_transform(&self, ctx: &ExecContext, block: &Block, t: usize) {
        let x = ctx.map(self.step.inputs[0]);
        let (h, w, channels) = (x.view.h, x.view.w, self.layout.panels.k);
        let (s, oy, ox) = self.origin(block.tiles.start + t);
        let [top, left, ..] = self.pads;
        let at = |i: usize| {
            let (iy, ix) = ((oy + i / IN).wrapping_sub(top), (ox + i % IN).wrapping_sub(left));
            let zeros = block.zeros.start();
            if iy < h && ix < w { x.at((s * h + iy) * w + ix).wrapping_add(block.group * channels) } else { zeros }
                .cast_const()
        };
        let from: [*const f32; PLANES] = std::array::from_fn(at);
        // SAFETY: pixels, or zeros, of all channels; every plane holds the tile.
        unsafe {
            let to = block.transformed.at(t * channels);
            simd::dispatch(InputTransform { from: &from, channels, to, plane: self.planes()[0] });
        }
    }

    /// Multiplies the transformed tiles by some panels of the kernels at one position.
    ///
    /// # Safety
    /// As [`Winograd::block`]; nothing else may use these panels of the products.
    unsafe fn multiply(&self, weights: &Weights, block: &Block, plane: usize, range: Range<usize>) {
        let panels = self.layout.panels;
        let [transformed, products] = self.planes();
        // SAFETY: all planes lie in the block's memory.
        unsafe {
            let operands = Operands {
                left: block.transformed.from(plane * transformed),
                rows: &self.rows,
                spans: &[Span { offset: 0, len: panels.k }],
                panels,
                addend: None,
                out: block.products.from(plane * products),
                pixel_stride: panels.n,
            };
            let product = Gemm {
                operands,
                right: &weights.weight[(block.group * PLANES + plane) * padded_plane(panels.floats())..],
                start: Start::Zero,
                bounds: Bounds::NONE,
            };
            product.block(0..block.tiles.len(), range);
        }
    }

    /// Applies the output transform to the products of some panels and tile `t` of a block, and writes the part of the
    /// tile that lies in the output.
    ///
    /// # Safety
    /// As [`Winograd::block`]; nothing else may use the tile's outputs of these panels.
    unsafe fn output_transform(
        &self,
        ctx: &ExecContext,
        weights: &Weights,
        block: &Block,
        t: usize,
        panels: Range<usize>,
    ) {
        let y = ctx.map(self.step.output);
        let addend = self.step.inputs.get(1).map(|&view| ctx.map(view));
        let (h, w, Panels { n, .. }) = (y.view.h, y.view.w, self.layout.panels);
        let column = self.layout.panels.column(panels.start);
        let channels = self.layout.panels.column(panels.end).min(n) - column;
        let (s, oy, ox) = self.origin(block.tiles.start + t);
        // SAFETY: every plane holds the tile, and the output the pixels of its rows and columns.
        unsafe {
            let (pixel, channel) = ((s * h + oy) * w + ox, block.group * n + column);
            let transform = OutputTransform {
                from: block.products.at(t * n + column),
                plane: self.planes()[1],
                channels,
                bias: &self.layout.group_bias(&weights.bias, block.group)[column..],
                bounds: Bounds::of(self.step.activation),
                addend: addend.as_ref().map_or(std::ptr::null(), |map| map.at(pixel).add(channel).cast_const()),
                addend_stride: addend.map_or([0; 2], |map| [w * map.view.pixel_stride, map.view.pixel_stride]),
                to: y.at(pixel).add(channel),
                pixel_stride: [w * y.view.pixel_stride, y.view.pixel_stride],
                size: [self.out.min(h - oy), self.out.min(w - ox)],
            };
            match self.out {
                4 => simd::dispatch(Outputs::<4>(transform)),
                _ => simd::dispatch(Outputs::<2>(transform)),
            }
        }
    }
}

/// Some tiles of the batch in the channels of a group, and the memory of their transforms.
struct Block {
    group: usize,
    tiles: Range<usize>,
    /// Zeros that stand for the pixels beyond the input.
    zeros: FloatPtr,
    /// The transformed tiles, position by position.
    transformed: FloatPtr,
    /// The products of the transformed tiles and kernels, position by position.
    products: FloatPtr,
}

impl Operation for Winograd {
    fn forward(&self, ctx: &ExecContext) {
        let (blocks, shares) = (self.blocks, self.shares);
        ctx.pool.run_on(self.layout.groups * blocks * shares, &|thread, i| {
            let (i, share) = (i / shares, i % shares);
            let (group, i) = (i / blocks, i % blocks);
            let tiles = block_start(self.tiles, blocks, i)..block_start(self.tiles, blocks, i + 1);
            // SAFETY: the scratch memory holds a region for each thread, and blocks have their own outputs.
            unsafe {
                let zeros = ctx.scratch.from(thread * self.region());
                let transformed = zeros.from(padded_plane(self.layout.panels.k));
                let products = transformed.from(PLANES * self.planes()[0]);
                self.block(ctx, &Block { group, tiles, zeros, transformed, products }, share);
            }
        });
        let y = ctx.map(self.step.output);
        Bounds::activate_others(ctx.pool, self.step.activation, &y);
    }

    fn scratch(&self) -> usize {
        self.region().saturating_mul(self.threads)
    }
}

/// Number of parts that the panels can be divided into: a last panel narrower than a vector stays with its predecessor.
fn parts(panels: &Panels) -> usize {
    let last = panels.count() - 1;
    if panels.columns(last) < panels.lanes { last } else { last + 1 }
}

/// Returns the first tile of block `i`. Blocks begin at multiples of the height of a GEMM tile, so that the remainder of
/// rows does not depend on the number of blocks.
fn block_start(tiles: usize, blocks: usize, i: usize) -> usize {
    let rows = simd::rows();
    (tiles.div_ceil(rows) * i / blocks * rows).min(tiles)
}

/// Upper bound of the tiles of a block.
fn largest(tiles: usize, blocks: usize) -> usize {
    (tiles.div_ceil(simd::rows()).div_ceil(blocks) * simd::rows()).min(tiles)
}

/// Floats from one plane of this size to the next.
fn padded_plane(floats: usize) -> usize {
    floats.next_multiple_of(PLANE_PADDING) + PLANE_PADDING
}

/// Floats of transformed kernels.
pub(crate) fn floats(layout: &Layout) -> usize {
    layout.groups * PLANES * padded_plane(layout.panels.floats())
}

/// Packs transformed kernels: for each group a packed matrix for each position, [`padded_plane`].
pub(crate) fn pack(layout: &Layout, oihw: &[f32]) -> Buffer {
    match layout.taps {
        9 => pack_kernels::<3>(layout, oihw),
        _ => pack_kernels::<5>(layout, oihw),
    }
}

/// Row after row of a panel, so that every position is written in its own order.
fn pack_kernels<const SIZE: usize>(layout: &Layout, oihw: &[f32]) -> Buffer {
    let (panels, taps) = (layout.panels, SIZE * SIZE);
    let plane = padded_plane(panels.floats());
    let mut packed = Buffer::zeros(floats(layout));
    for (g, packed) in packed.chunks_exact_mut(PLANES * plane).enumerate() {
        for panel in 0..panels.count() {
            let (start, width) = (panels.start(panel), panels.width(panel));
            let first = g * panels.n + panels.column(panel);
            for k in 0..panels.k {
                for column in 0..panels.columns(panel) {
                    let kernel = &oihw[((first + column) * panels.k + k) * taps..][..taps];
                    let to = packed[start + k * width + column..].iter_mut().step_by(plane);
                    to.zip(transform_kernel::<SIZE>(kernel)).for_each(|(to, value)| *to = value as f32);
                }
            }
        }
    }
    packed
}

/// `G g G^T`.
#[inline(always)]
fn transform_kernel<const SIZE: usize>(kernel: &[f32]) -> [f64; PLANES] {
    let mut half = [[0.0; SIZE]; IN];
    for x in 0..SIZE {
        let column = transform_taps(std::array::from_fn::<_, SIZE, _>(|y| f64::from(kernel[SIZE * y + x])));
        (0..IN).for_each(|i| half[i][x] = column[i]);
    }
    let rows = half.map(transform_taps);
    std::array::from_fn(|p| rows[p / IN][p % IN])
}

/// `G g`: the polynomial with these coefficients at each point, divided by the product of the distances to the others.
#[inline(always)]
fn transform_taps<const SIZE: usize>(g: [f64; SIZE]) -> [f64; IN] {
    let part = |p: f64, from: usize| (from..SIZE).step_by(2).rev().fold(0.0, |sum, i| sum * p * p + g[i]);
    let at = |p: f64, inverse: f64| {
        let (even, odd) = (inverse * part(p, 0), inverse * p * part(p, 1));
        [even + odd, even - odd]
    };
    let ([a, minus_a], [b, minus_b]) = (at(A, -1.0 / 1.5), at(B, 1.0 / 6.0));
    [g[0], a, minus_a, b, minus_b, g[SIZE - 1]]
}

/// `B^T d` of vectors.
#[inline(always)]
fn transform_inputs<S: Simd>(s: S, d: [S::F32; IN]) -> [S::F32; IN] {
    let minus = |x, factor: f64, y| s.fma(x, s.splat(-factor as f32), y);
    let (even_a, odd_a) = (minus(d[2], 2.0, d[4]), s.mul(minus(d[1], 2.0, d[3]), s.splat(A as f32)));
    let (even_b, odd_b) = (minus(d[2], 0.5, d[4]), s.mul(minus(d[1], 0.5, d[3]), s.splat(B as f32)));
    [
        s.add(minus(d[2], 2.5, d[4]), d[0]),
        s.add(even_a, odd_a),
        s.sub(even_a, odd_a),
        s.add(even_b, odd_b),
        s.sub(even_b, odd_b),
        s.add(minus(d[3], 2.5, d[5]), d[1]),
    ]
}

/// `A^T m` of vectors, for 2 or 4 outputs.
#[inline(always)]
fn transform_products<S: Simd, const OUT: usize>(s: S, m: [S::F32; IN]) -> [S::F32; OUT] {
    let (sum_a, odd_a) = (s.add(m[1], m[2]), s.mul(s.sub(m[1], m[2]), s.splat(A as f32)));
    let (sum_b, odd_b) = (s.add(m[3], m[4]), s.mul(s.sub(m[3], m[4]), s.splat(B as f32)));
    let weighted = |a, x: f32, b, y: f32| s.fma(a, s.splat(x), s.mul(b, s.splat(y)));
    let mut y = [s.add(m[0], s.add(sum_a, sum_b)); OUT];
    y[1] = s.add(odd_a, odd_b);
    if OUT == 4 {
        y[2] = weighted(sum_a, 0.5, sum_b, 2.0);
        y[3] = weighted(odd_a, 0.5, odd_b, 2.0);
    }
    y[OUT - 1] = s.add(m[5], y[OUT - 1]);
    y
}

/// The first channels of vectors that cover all of `channels`, of which there is at least one vector. The last overlaps
/// its predecessor and writes equal values again.
fn starts<S: Simd>(channels: usize) -> impl Iterator<Item = usize> {
    (0..channels.div_ceil(S::LANES)).map(move |v| (v * S::LANES).min(channels - S::LANES))
}

/// Writes `B^T d B` of 6x6 pixels, position by position, `plane` floats apart.
struct InputTransform<'a> {
    from: &'a [*const f32; PLANES],
    channels: usize,
    to: *mut f32,
    plane: usize,
}

impl Kernel for InputTransform<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        // SAFETY: the pixels and planes hold `channels`, of which there is at least a vector.
        unsafe {
            for c in starts::<S>(self.channels) {
                let mut half = [[s.splat(0.0); IN]; IN];
                for j in 0..IN {
                    let mut column = [s.splat(0.0); IN];
                    for i in 0..IN {
                        column[i] = s.load(self.from[i * IN + j].add(c));
                    }
                    let column = transform_inputs(s, column);
                    for i in 0..IN {
                        half[i][j] = column[i];
                    }
                }
                let mut to = self.to.add(c);
                for i in 0..IN {
                    let row = transform_inputs(s, half[i]);
                    for j in 0..IN {
                        s.store(to, row[j]);
                        to = to.add(self.plane);
                    }
                }
            }
        }
    }
}

/// Writes `A^T m A`, plus the bias and the addend, within the bounds, to the part of a tile that exists.
struct OutputTransform<'a> {
    from: *const f32,
    plane: usize,
    channels: usize,
    bias: &'a [f32],
    /// The pixel of the addend at the first output; null when nothing is added.
    addend: *const f32,
    addend_stride: [usize; 2],
    bounds: Bounds,
    to: *mut f32,
    /// Floats from one line to the next, and from one pixel to the next.
    pixel_stride: [usize; 2],
    /// Lines and pixels that exist.
    size: [usize; 2],
}

/// For OUT x OUT outputs.
struct Outputs<'a, const OUT: usize>(OutputTransform<'a>);

impl<const OUT: usize> Kernel for Outputs<'_, OUT> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) {
        let t = self.0;
        // SAFETY: the planes, the bias and the pixels hold `channels`, of which there is at least a vector.
        unsafe {
            for c in starts::<S>(t.channels) {
                let mut half = [[s.splat(0.0); IN]; OUT];
                for j in 0..IN {
                    let mut column = [s.splat(0.0); IN];
                    for i in 0..IN {
                        column[i] = s.load(t.from.add((i * IN + j) * t.plane + c));
                    }
                    let column = transform_products::<_, OUT>(s, column);
                    for i in 0..OUT {
                        half[i][j] = column[i];
                    }
                }
                let bias = s.load(t.bias.as_ptr().add(c));
                for i in 0..OUT {
                    if i < t.size[0] {
                        let row = transform_products::<_, OUT>(s, half[i]);
                        for j in 0..OUT {
                            if j < t.size[1] {
                                let mut y = s.add(row[j], bias);
                                if !t.addend.is_null() {
                                    let [line, pixel] = t.addend_stride;
                                    y = s.add(y, s.load(t.addend.add(i * line + j * pixel + c)));
                                }
                                let to = t.to.add(i * t.pixel_stride[0] + j * t.pixel_stride[1] + c);
                                s.store(to, t.bounds.apply(s, y));
                            }
                        }
                    }
                }
            }
        }
    }
}
