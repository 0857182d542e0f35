//! Aligned memory, and views of it that tasks share.

use std::ops::{Deref, DerefMut, Range};

use super::pool::Pool;
use crate::plan::View;

/// A cache line, so that vectors and panels never straddle two.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([f32; 16]);

/// Floats that start at a cache line.
#[derive(Clone, Default)]
pub(super) struct Buffer {
    lines: Vec<Line>,
    len: usize,
}

impl Buffer {
    pub(super) fn zeros(len: usize) -> Self {
        Buffer { lines: vec![Line([0.0; 16]); len.div_ceil(16)], len }
    }

    pub(super) fn bytes(&self) -> usize {
        self.lines.len() * size_of::<Line>()
    }
}

impl From<&[f32]> for Buffer {
    fn from(values: &[f32]) -> Self {
        let mut buffer = Buffer::zeros(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: the lines hold at least `len` floats.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: the lines hold at least `len` floats.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

/// The start of memory that tasks write to, each its own part.
#[derive(Clone, Copy)]
pub(super) struct Shared(*mut f32);

// SAFETY: a pointer by itself; those who write through it promise not to write where others do.
unsafe impl Send for Shared {}
// SAFETY: the same.
unsafe impl Sync for Shared {}

impl Shared {
    pub(super) fn new(memory: &mut [f32]) -> Self {
        Shared(memory.as_mut_ptr())
    }

    pub(super) fn start(self) -> *mut f32 {
        self.0
    }

    /// # Safety
    /// `offset` must lie in the memory.
    pub(super) unsafe fn at(self, offset: usize) -> *mut f32 {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(offset) }
    }

    /// # Safety
    /// `offset` must lie in the memory.
    pub(super) unsafe fn from(self, offset: usize) -> Self {
        // SAFETY: the caller's promise.
        Shared(unsafe { self.at(offset) })
    }
}

/// A batch of feature maps in the arena: pixels of channels.
#[derive(Clone, Copy)]
pub(super) struct Map {
    base: Shared,
    pub view: View,
    pub pixels: usize,
}

impl Map {
    /// # Safety
    /// The arena must hold `place` for a batch of `n`.
    pub(super) unsafe fn new(arena: Shared, view: View, n: usize) -> Self {
        // SAFETY: the caller's promise.
        Map { base: unsafe { arena.from(view.offset) }, view, pixels: view.pixels(n) }
    }

    /// Where channel `c` of the first pixel is.
    pub(super) fn channel(&self, c: usize) -> Shared {
        assert!(c < self.view.c);
        // SAFETY: the first pixel exists and has this channel.
        unsafe { self.base.from(c) }
    }

    /// Whether nothing lies between one pixel's channels and the next's.
    pub(super) fn dense(&self) -> bool {
        self.view.pixel_stride == self.view.c
    }

    /// The first channel of a pixel.
    pub(super) fn at(&self, pixel: usize) -> *mut f32 {
        assert!(pixel < self.pixels);
        // SAFETY: the pixel exists, and the arena holds all of them.
        unsafe { self.base.at(pixel * self.view.pixel_stride) }
    }

    /// A pixel's channels.
    ///
    /// # Safety
    /// Nobody may write to them meanwhile.
    pub(super) unsafe fn row(&self, pixel: usize) -> &[f32] {
        // SAFETY: `at` checks that the pixel exists.
        unsafe { std::slice::from_raw_parts(self.at(pixel), self.view.c) }
    }

    /// A pixel's channels, to write to.
    ///
    /// # Safety
    /// Nobody else may use them meanwhile.
    #[allow(clippy::mut_from_ref, reason = "the caller promises that each pixel has one writer")]
    pub(super) unsafe fn row_mut(&self, pixel: usize) -> &mut [f32] {
        // SAFETY: `at` checks that the pixel exists.
        unsafe { std::slice::from_raw_parts_mut(self.at(pixel), self.view.c) }
    }
}

/// Splits `0..count` into ranges for the pool's threads, each of enough work (`cost` floats or so for one item) to be
/// worth handing out.
pub(super) fn split(pool: &Pool, count: usize, cost: usize, f: impl Fn(Range<usize>) + Sync) {
    const WORTH: usize = 4096;
    let parts = (count.saturating_mul(cost) / WORTH).clamp(1, 4 * pool.threads()).min(count);
    if pool.threads() == 1 || parts <= 1 {
        if count > 0 {
            f(0..count);
        }
        return;
    }
    pool.run(parts, &|i| f(count * i / parts..count * (i + 1) / parts));
}

/// Calls `f(first pixel, floats)` for stretches of a range of pixels of `c` channels: one stretch when all maps are
/// dense, else each pixel by itself.
pub(super) fn stretches(dense: bool, c: usize, range: Range<usize>, mut f: impl FnMut(usize, usize)) {
    if dense {
        f(range.start, range.len() * c);
    } else {
        range.for_each(|p| f(p, c));
    }
}
