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

    /// Returns the bytes of the floats, four for each.
    pub(super) fn as_i8(&self) -> &[i8] {
        // SAFETY: any four bytes of a float are bytes.
        unsafe { std::slice::from_raw_parts(self.as_ptr().cast::<i8>(), 4 * self.len) }
    }

    /// Returns the bytes of the floats, four for each, to write to.
    pub(super) fn as_i8_mut(&mut self) -> &mut [i8] {
        // SAFETY: any four bytes of a float are bytes, and any four bytes are a float.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr().cast::<i8>(), 4 * self.len) }
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

/// A pointer to floats that tasks on several threads use. Each task writes to floats that no other task uses.
#[derive(Clone, Copy)]
pub(super) struct FloatPtr(*mut f32);

// SAFETY: sending the pointer moves no memory. Every access through it is unsafe and needs floats of its own.
unsafe impl Send for FloatPtr {}
// SAFETY: a shared pointer gives no access by itself. Every access through it is unsafe and needs floats of its own.
unsafe impl Sync for FloatPtr {}

impl FloatPtr {
    pub(super) fn new(memory: &mut [f32]) -> Self {
        FloatPtr(memory.as_mut_ptr())
    }

    pub(super) fn start(self) -> *mut f32 {
        self.0
    }

    /// Returns the address of the float at `offset`.
    ///
    /// # Safety
    /// `offset` must lie in the memory that the pointer was made from, or at its end.
    pub(super) unsafe fn at(self, offset: usize) -> *mut f32 {
        // SAFETY: the sum stays within the allocation or at its end, because `offset` does.
        unsafe { self.0.add(offset) }
    }

    /// Returns the pointer to the floats from `offset` on.
    ///
    /// # Safety
    /// `offset` must lie in the memory that the pointer was made from, or at its end.
    pub(super) unsafe fn from(self, offset: usize) -> Self {
        // SAFETY: `offset` stays within the allocation or at its end, as `at` requires.
        FloatPtr(unsafe { self.at(offset) })
    }
}

/// A batch of feature maps in the arena: pixels of channels.
#[derive(Clone, Copy)]
pub(super) struct Map {
    base: FloatPtr,
    pub view: View,
    pub pixels: usize,
}

impl Map {
    /// # Safety
    /// The arena must hold `view` for a batch of `n`.
    pub(super) unsafe fn new(arena: FloatPtr, view: View, n: usize) -> Self {
        // SAFETY: the view's first float lies in the arena, because the whole view does.
        Map { base: unsafe { arena.from(view.offset) }, view, pixels: view.pixels(n) }
    }

    /// Returns the address of channel `c` of the first pixel.
    pub(super) fn channel(&self, c: usize) -> FloatPtr {
        assert!(c < self.view.c);
        // SAFETY: the first pixel exists and has this channel.
        unsafe { self.base.from(c) }
    }

    /// True if pixels follow each other without a gap.
    pub(super) fn dense(&self) -> bool {
        self.view.pixel_stride == self.view.c
    }

    /// True if no float belongs to both maps: their memory does not overlap, or they are different channels of one
    /// wider map.
    pub(super) fn is_apart(&self, other: &Map) -> bool {
        let floats = |map: &Map| (map.pixels.max(1) - 1) * map.view.pixel_stride + map.view.c;
        let address = |map: &Map| map.base.start() as usize / size_of::<f32>();
        let (a, b) = (address(self), address(other));
        if a + floats(self) <= b || b + floats(other) <= a {
            return true;
        }
        let stride = self.view.pixel_stride;
        let distance = (b as isize - a as isize).rem_euclid(stride as isize) as usize;
        stride == other.view.pixel_stride && self.view.c <= distance && distance + other.view.c <= stride
    }

    /// True if both maps are equal floats in equal order.
    pub(super) fn is_same(&self, other: &Map) -> bool {
        let form = |map: &Map| (map.base.start(), map.view.pixel_stride, map.view.c, map.pixels);
        form(self) == form(other)
    }

    /// Returns the address of the first channel of a pixel.
    pub(super) fn at(&self, pixel: usize) -> *mut f32 {
        assert!(pixel < self.pixels);
        // SAFETY: the pixel exists, and the arena holds all of them.
        unsafe { self.base.at(pixel * self.view.pixel_stride) }
    }

    /// Returns the channels of a pixel.
    ///
    /// # Safety
    /// No task may write to the pixel while the slice lives.
    pub(super) unsafe fn row(&self, pixel: usize) -> &[f32] {
        // SAFETY: `at` checks that the pixel exists, and a pixel has `view.c` floats.
        unsafe { std::slice::from_raw_parts(self.at(pixel), self.view.c) }
    }

    /// Returns the channels of a pixel, to write to.
    ///
    /// # Safety
    /// No other task may use the pixel while the slice lives.
    #[allow(clippy::mut_from_ref, reason = "each pixel has one writer, see the safety section")]
    pub(super) unsafe fn row_mut(&self, pixel: usize) -> &mut [f32] {
        // SAFETY: `at` checks that the pixel exists, and a pixel has `view.c` floats.
        unsafe { std::slice::from_raw_parts_mut(self.at(pixel), self.view.c) }
    }
}

/// Splits `0..count` into ranges for the pool's threads, each with enough work to be worth sharing. `cost` is the
/// work of one item, in floats read or written.
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

/// Splits a slice into chunks of `len` floats for the pool's threads, and calls `f(index, chunk)` for each. `cost` is the
/// work of one chunk, in floats read or written.
///
/// # Panics
/// Unless the slice is whole chunks.
pub(super) fn for_each_chunk(
    pool: &Pool,
    cost: usize,
    data: &mut [f32],
    len: usize,
    f: impl Fn(usize, &mut [f32]) + Sync,
) {
    let count = data.len() / len;
    assert_eq!(count * len, data.len());
    let start = FloatPtr::new(data);
    split(pool, count, cost, |range| {
        for i in range {
            // SAFETY: chunk i lies within the slice, and one task alone has it.
            f(i, unsafe { std::slice::from_raw_parts_mut(start.at(i * len), len) });
        }
    });
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
