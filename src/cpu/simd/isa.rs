//! The interface of an instruction set, and of the kernels that are written over it.

/// The most rows a matrix tile has on any instruction set.
pub(crate) const MAX_ROWS: usize = 6;

/// The most lanes of any instruction set.
pub(crate) const MAX_LANES: usize = 8;

/// Adding this to a float smaller than 2^22 rounds it to an integer, which then stands in the low bits.
pub(crate) const MAGIC: f32 = 12_582_912.0;

/// An instruction set. A value of an implementing type has no size and proves that the instruction set is available, so
/// arithmetic is safe; only loads and stores ask for valid pointers.
///
/// Every type of vector is [`Simd::LANES`] words of 32 bits wide. Kernels take the width from there, so an implementation
/// may be a register, or several side by side.
pub(crate) trait Simd: Copy + 'static {
    /// Floats.
    type F32: Copy;
    /// 32-bit integers.
    type I32: Copy;
    /// 16-bit integers, two for each lane.
    type I16: Copy;
    /// 8-bit integers, four for each lane; each operation says whether they have a sign.
    type I8: Copy;
    /// A truth value for each lane of floats.
    type Mask: Copy;

    /// Floats of a vector.
    const LANES: usize;
    /// Rows of a matrix tile of floats that is two vectors wide, limited by the registers (16, one kept by V8).
    const ROWS: usize;
    /// Rows of a matrix tile of 16-bit integers that is two vectors wide.
    const INT_ROWS: usize;
    /// True if the build has [`Simd::dot_u8`]; [`super::dispatch::has_exact_dot_u8`] says if it is exact.
    const DOT_U8: bool = false;

    /// # Safety
    /// `p` must be valid for reading a vector.
    unsafe fn load(self, p: *const f32) -> Self::F32;
    /// # Safety
    /// `p` must be valid for writing a vector.
    unsafe fn store(self, p: *mut f32, v: Self::F32);
    /// The first `n < LANES` floats, then zeros; reads nothing beyond them.
    ///
    /// # Safety
    /// `p` must be valid for reading `n` floats.
    unsafe fn load_part(self, p: *const f32, n: usize) -> Self::F32;
    /// Writes the first `n < LANES` floats only.
    ///
    /// # Safety
    /// `p` must be valid for writing `n` floats.
    unsafe fn store_part(self, p: *mut f32, v: Self::F32, n: usize);

    fn splat(self, x: f32) -> Self::F32;
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b + c`, with one rounding or two.
    fn fma(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    fn sqrt(self, a: Self::F32) -> Self::F32;
    /// `x < c ? c : x`: NaN in x stays.
    fn at_least(self, x: Self::F32, c: Self::F32) -> Self::F32;
    /// `x > c ? c : x`: NaN in x stays.
    fn at_most(self, x: Self::F32, c: Self::F32) -> Self::F32;
    /// The nearest integer, halves to even, of numbers smaller than 2^22.
    #[inline(always)]
    fn round(self, x: Self::F32) -> Self::F32 {
        self.sub(self.add(x, self.splat(MAGIC)), self.splat(MAGIC))
    }
    /// 2^n for `t = n + MAGIC`, n integral in -126..=127.
    fn exponent(self, t: Self::F32) -> Self::F32;

    fn eq(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    fn gt(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// Lanes that both masks have.
    fn both(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// `mask ? x : 0`.
    fn keep(self, mask: Self::Mask, x: Self::F32) -> Self::F32;
    /// `mask ? a : b`.
    fn select(self, mask: Self::Mask, a: Self::F32, b: Self::F32) -> Self::F32;

    fn zero_i32(self) -> Self::I32;
    /// The bits of floats.
    fn to_bits(self, a: Self::F32) -> Self::I32;
    /// Integers as floats.
    fn to_float(self, a: Self::I32) -> Self::F32;
    /// # Safety
    /// `p` must be valid for reading a vector.
    unsafe fn load_i32(self, p: *const i32) -> Self::I32;
    /// # Safety
    /// `p` must be valid for writing a vector.
    unsafe fn store_i32(self, p: *mut i32, v: Self::I32);

    /// The pair of integers at `p` in every lane.
    ///
    /// # Safety
    /// `p` must be valid for reading four bytes and aligned to them.
    unsafe fn splat_i16(self, p: *const [i16; 2]) -> Self::I16;
    /// Two 8-bit integers with a sign for each lane, as 16-bit ones.
    ///
    /// # Safety
    /// `p` must be valid for reading `2 * LANES` bytes.
    unsafe fn load_i8_as_i16(self, p: *const i8) -> Self::I16;
    /// Writes the pairs of the first `n <= LANES` lanes only.
    ///
    /// # Safety
    /// `p` must be valid for writing `4 * n` bytes.
    unsafe fn store_i16(self, p: *mut f32, v: Self::I16, n: usize);
    /// `acc + a0 * b0 + a1 * b1` in each lane.
    fn dot_i16(self, a: Self::I16, b: Self::I16, acc: Self::I32) -> Self::I32;
    /// The lower halves of all lanes of `a`, then of `b`.
    fn narrow(self, a: Self::I32, b: Self::I32) -> Self::I16;

    /// The four bytes at `p` in every lane.
    ///
    /// # Safety
    /// `p` must be valid for reading four bytes and aligned to them.
    unsafe fn splat_i8(self, _p: *const [i8; 4]) -> Self::I8 {
        unreachable!("only where DOT_U8 says so")
    }
    /// # Safety
    /// `p` must be valid for reading a vector.
    unsafe fn load_i8(self, _p: *const i8) -> Self::I8 {
        unreachable!("only where DOT_U8 says so")
    }
    /// Writes the bytes of the first `n <= LANES` lanes only.
    ///
    /// # Safety
    /// `p` must be valid for writing `4 * n` bytes.
    unsafe fn store_i8(self, _p: *mut f32, _v: Self::I8, _n: usize) {
        unreachable!("only where DOT_U8 says so")
    }
    /// `acc + a0 * b0 + a1 * b1 + a2 * b2 + a3 * b3` in each lane: `a` without a sign, `b` with one.
    fn dot_u8(self, _a: Self::I8, _b: Self::I8, _acc: Self::I32) -> Self::I32 {
        unreachable!("only where DOT_U8 says so")
    }
    /// The integers of `a`, then the integers of `b`, as bytes without a sign.
    fn narrow_u8(self, _a: Self::I16, _b: Self::I16) -> Self::I8 {
        unreachable!("only where DOT_U8 says so")
    }
}

/// Implements functions of [`Simd`] that access no memory.
#[allow(unused_macros, reason = "the portable set needs neither")]
macro_rules! arithmetic {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $ret:ty = $body:expr;)*) => {
        $(#[inline(always)]
        fn $name(self, $($arg: $ty),*) -> $ret {
            // SAFETY: `self` proves that the instruction set is available, and no memory is accessed.
            #[allow(unused_unsafe, reason = "intrinsics are safe when the build always has the set")]
            unsafe { $body }
        })*
    };
}

/// Implements loads and stores of [`Simd`].
#[allow(unused_macros, reason = "the portable set needs neither")]
macro_rules! accesses {
    ($($name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $body:expr;)*) => {
        $(#[inline(always)]
        unsafe fn $name(self, $($arg: $ty),*) $(-> $ret)? {
            // SAFETY: `self` proves that the instruction set is available; `p` is valid for exactly this access.
            #[allow(unused_unsafe, reason = "intrinsics are safe when the build always has the set")]
            unsafe { $body }
        })*
    };
}

#[allow(unused_imports, reason = "the portable set has no intrinsics")]
pub(super) use {accesses, arithmetic};

/// Work over vectors: its fields are the arguments.
pub(crate) trait Kernel {
    /// The result of the work.
    type Output;

    /// Does the work with an instruction set.
    ///
    /// # Safety
    /// The fields must satisfy the requirements of the kernel's documentation.
    unsafe fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// How a vector is loaded and stored: whole, or at the end of a row.
pub(crate) trait Access: Copy {
    /// # Safety
    /// `p` must be valid for reading the lanes.
    unsafe fn load<S: Simd>(self, s: S, p: *const f32) -> S::F32;
    /// # Safety
    /// `p` must be valid for writing the lanes.
    unsafe fn store<S: Simd>(self, s: S, p: *mut f32, v: S::F32);
}

/// All lanes.
#[derive(Clone, Copy)]
pub(crate) struct Whole;

/// The first lanes, fewer than all.
#[derive(Clone, Copy)]
pub(crate) struct Part(pub usize);

impl Access for Whole {
    #[inline(always)]
    unsafe fn load<S: Simd>(self, s: S, p: *const f32) -> S::F32 {
        // SAFETY: `p` is valid for all lanes.
        unsafe { s.load(p) }
    }
    #[inline(always)]
    unsafe fn store<S: Simd>(self, s: S, p: *mut f32, v: S::F32) {
        // SAFETY: `p` is valid for all lanes.
        unsafe { s.store(p, v) }
    }
}

impl Access for Part {
    #[inline(always)]
    unsafe fn load<S: Simd>(self, s: S, p: *const f32) -> S::F32 {
        // SAFETY: `p` is valid for these lanes.
        unsafe { s.load_part(p, self.0) }
    }
    #[inline(always)]
    unsafe fn store<S: Simd>(self, s: S, p: *mut f32, v: S::F32) {
        // SAFETY: `p` is valid for these lanes.
        unsafe { s.store_part(p, v, self.0) }
    }
}
