//! What an instruction set must have, and what kernels are.

/// The most rows a matrix tile has on any instruction set.
pub(crate) const MAX_ROWS: usize = 6;

/// The most lanes of any instruction set.
pub(crate) const MAX_LANES: usize = 8;

/// One instruction set. All functions may only be called where it is available; masks are vectors whose lanes are all
/// ones or all zeros.
pub(crate) trait Simd: Copy + 'static {
    /// A vector.
    type V: Copy;
    /// Its floats.
    const LANES: usize;
    /// Rows of a matrix tile that is two vectors wide: as many as the registers hold (16, one kept by V8).
    const ROWS: usize;

    unsafe fn load(p: *const f32) -> Self::V;
    unsafe fn store(p: *mut f32, v: Self::V);
    /// The first `n < LANES` floats, then zeros; reads nothing beyond them.
    unsafe fn load_part(p: *const f32, n: usize) -> Self::V;
    /// Writes the first `n < LANES` floats only.
    unsafe fn store_part(p: *mut f32, v: Self::V, n: usize);
    unsafe fn splat(x: f32) -> Self::V;
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, with one rounding or two.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    unsafe fn sqrt(a: Self::V) -> Self::V;
    /// `x < c ? c : x`: NaN in x stays.
    unsafe fn at_least(x: Self::V, c: Self::V) -> Self::V;
    /// `x > c ? c : x`: NaN in x stays.
    unsafe fn at_most(x: Self::V, c: Self::V) -> Self::V;
    unsafe fn eq(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn gt(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn and(a: Self::V, b: Self::V) -> Self::V;
    /// `mask ? a : b`.
    unsafe fn select(mask: Self::V, a: Self::V, b: Self::V) -> Self::V;
    /// The nearest integer, halves to even, of what is smaller than 2^22.
    #[inline(always)]
    unsafe fn round(x: Self::V) -> Self::V {
        // SAFETY: arithmetic only; Self is available by the caller's promise.
        unsafe { Self::sub(Self::add(x, Self::splat(MAGIC)), Self::splat(MAGIC)) }
    }
    /// 2^n for `t = n + MAGIC`, n integral in -126..=127.
    unsafe fn exponent(t: Self::V) -> Self::V;

    /// Rows of a matrix tile that is two vectors wide and sums products of integers.
    const INT_ROWS: usize;

    /// The pair of 16-bit integers at `p` in every lane.
    unsafe fn splat_pair(p: *const f32) -> Self::V;
    /// Two 8-bit integers for each lane, as pairs of 16-bit ones.
    unsafe fn load_pairs(p: *const i8) -> Self::V;
    /// `acc + a0 * b0 + a1 * b1`: pairs of 16-bit integers, sums of 32 bits.
    unsafe fn dot(a: Self::V, b: Self::V, acc: Self::V) -> Self::V;
    /// 32-bit integers as floats.
    unsafe fn to_float(a: Self::V) -> Self::V;
    /// The lower halves of all lanes of `a`, then of `b`.
    unsafe fn narrow(a: Self::V, b: Self::V) -> Self::V;

    /// Whether the build has the next two, and the processor may compute them exactly: see [`super::dispatch::quads`].
    const QUADS: bool = false;

    /// `acc + a0 * b0 + a1 * b1 + a2 * b2 + a3 * b3`: in each lane, four bytes without a sign times four with one.
    unsafe fn dot_bytes(_a: Self::V, _b: Self::V, _acc: Self::V) -> Self::V {
        unreachable!("only where there are quads")
    }
    /// 16-bit integers as bytes, those of `a`, then those of `b`.
    unsafe fn narrow_bytes(_a: Self::V, _b: Self::V) -> Self::V {
        unreachable!("only where there are quads")
    }
}

/// Adding this rounds to an integer, which then stands in the low bits.
pub(crate) const MAGIC: f32 = 12_582_912.0;

/// Work over vectors: its fields are the arguments.
pub(crate) trait Kernel {
    /// What it returns.
    type Output;

    /// # Safety
    /// S must be available, and the fields must keep what the kernel's documentation asks for.
    unsafe fn run<S: Simd>(self) -> Self::Output;
}

/// How a vector is loaded and stored: whole, or at the end of a row.
pub(crate) trait Access: Copy {
    /// # Safety
    /// S must be available, and the pointer valid for what is accessed.
    unsafe fn load<S: Simd>(self, p: *const f32) -> S::V;
    /// # Safety
    /// As `load`.
    unsafe fn store<S: Simd>(self, p: *mut f32, v: S::V);
}

/// All lanes.
#[derive(Clone, Copy)]
pub(crate) struct Whole;

/// The first lanes.
#[derive(Clone, Copy)]
pub(crate) struct Part(pub usize);

impl Access for Whole {
    #[inline(always)]
    unsafe fn load<S: Simd>(self, p: *const f32) -> S::V {
        // SAFETY: the caller's promise.
        unsafe { S::load(p) }
    }
    #[inline(always)]
    unsafe fn store<S: Simd>(self, p: *mut f32, v: S::V) {
        // SAFETY: the caller's promise.
        unsafe { S::store(p, v) }
    }
}

impl Access for Part {
    #[inline(always)]
    unsafe fn load<S: Simd>(self, p: *const f32) -> S::V {
        // SAFETY: the caller's promise.
        unsafe { S::load_part(p, self.0) }
    }
    #[inline(always)]
    unsafe fn store<S: Simd>(self, p: *mut f32, v: S::V) {
        // SAFETY: the caller's promise.
        unsafe { S::store_part(p, v, self.0) }
    }
}
