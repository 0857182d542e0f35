//! Safe ways to read and write the pixels of maps on all threads.
//!
//! One argument makes all of them safe: maps lie within the arena for as long as their operation runs, operations run
//! one after the other, and each function checks that the map it writes to overlaps none that it reads, before it gives
//! every task pixels of its own.

use std::ops::Range;

use super::memory::{Map, split};
use super::pool::Pool;

/// The pixels of a map, to read.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a>(&'a Map);

impl<'a> Rows<'a> {
    /// Returns the channels of a pixel.
    pub(super) fn row(self, pixel: usize) -> &'a [f32] {
        // SAFETY: no task writes to a map while others read from it.
        unsafe { self.0.row(pixel) }
    }

    pub(super) fn map(self) -> &'a Map {
        self.0
    }
}

/// Some pixels of a map, for one task to write to.
pub(super) struct RowsMut<'a> {
    map: &'a Map,
    pixels: Range<usize>,
}

impl<'a> RowsMut<'a> {
    /// Returns all pixels of a map.
    pub(super) fn all(map: &'a mut Map) -> Self {
        RowsMut { pixels: 0..map.pixels, map }
    }

    /// Returns the map, for writing to the pixels of sample `s` alone.
    ///
    /// # Panics
    /// When a pixel of sample `s` belongs to another task.
    pub(super) fn sample(&mut self, s: usize) -> &Map {
        let pixels = self.map.view.h * self.map.view.w;
        assert!(self.pixels.start <= s * pixels && (s + 1) * pixels <= self.pixels.end);
        self.map
    }

    /// Returns the channels of a pixel.
    ///
    /// # Panics
    /// When the pixel belongs to another task.
    pub(super) fn row_mut(&mut self, pixel: usize) -> &mut [f32] {
        assert!(self.pixels.contains(&pixel));
        // SAFETY: this task alone has the pixel, and the slice borrows `self`.
        unsafe { self.map.row_mut(pixel) }
    }
}

/// Returns the pixels of maps, to read while no operation writes to them.
pub(super) fn reading<'a, const N: usize>(maps: [&'a Map; N]) -> [Rows<'a>; N] {
    maps.map(Rows)
}

/// Calls `f(pixel, channels of the inputs, channels of the output)` for every pixel of the output. `cost` is the work of
/// one pixel, in floats read or written.
///
/// # Panics
/// When the output overlaps an input.
pub(super) fn for_each_row<const N: usize>(
    pool: &Pool,
    cost: usize,
    inputs: [&Map; N],
    output: &mut Map,
    f: impl Fn(usize, [&[f32]; N], &mut [f32]) + Sync,
) {
    for_each_range(pool, cost, 1, inputs, output, |pixels, inputs, output| {
        pixels.for_each(|p| f(p, inputs.map(|rows| rows.row(p)), output.row_mut(p)));
    });
}

/// Calls `f(sample, inputs, that sample's pixels of the output)` for each of `n` samples. `cost` is the work of one sample,
/// in floats read or written.
///
/// # Panics
/// When the output overlaps an input.
pub(super) fn for_each_sample<const N: usize>(
    pool: &Pool,
    n: usize,
    cost: usize,
    inputs: [&Map; N],
    output: &mut Map,
    f: impl Fn(usize, [Rows; N], &mut RowsMut) + Sync,
) {
    let pixels = output.pixels / n;
    for_each_range(pool, cost, pixels, inputs, output, |range, inputs, output| {
        (range.start / pixels..range.end / pixels).for_each(|s| f(s, inputs, output));
    });
}

/// Calls `f(pixels, inputs, output)` for ranges of whole multiples of `unit` pixels that cover the output.
fn for_each_range<const N: usize>(
    pool: &Pool,
    cost: usize,
    unit: usize,
    inputs: [&Map; N],
    output: &mut Map,
    f: impl Fn(Range<usize>, [Rows; N], &mut RowsMut) + Sync,
) {
    let map = &*output;
    assert!(inputs.iter().all(|input| map.is_apart(input)), "a step writes where it reads");
    split(pool, map.pixels / unit, cost, |units| {
        let pixels = units.start * unit..units.end * unit;
        f(pixels.clone(), reading(inputs), &mut RowsMut { map, pixels });
    });
}

/// Sets a map to one value.
pub(super) fn fill(pool: &Pool, map: &mut Map, value: f32) {
    let cost = map.view.c;
    for_each_row(pool, cost, [], map, |_, [], row| row.fill(value));
}
