//! Twice the lanes of another instruction set, in two vectors side by side: kernels must not notice.

use std::cell::Cell;

use super::isa::Simd;

/// Vectors of two halves.
#[derive(Clone, Copy)]
pub(crate) struct Doubled<S>(pub S);

thread_local! {
    static FORCED: Cell<bool> = const { Cell::new(false) };
}

/// True if [`super::dispatch::dispatch`] runs kernels with [`Doubled`] vectors on this thread.
pub(crate) fn forced() -> bool {
    FORCED.get()
}

/// Calls `f` with this machine's own vectors, then with [`Doubled`] ones.
pub(crate) fn with_both(f: impl Fn()) {
    f();
    FORCED.set(true);
    f();
    FORCED.set(false);
}

/// Implements functions that do with halves of the arguments as [`Simd`] does with whole ones.
macro_rules! by_halves {
    ($($name:ident($($arg:ident: $ty:ident),*) -> $ret:ident;)*) => {
        $(#[inline(always)]
        fn $name(self, $($arg: Self::$ty),*) -> Self::$ret {
            [0, 1].map(|_i| self.0.$name($($arg[_i]),*))
        })*
    };
}

impl<S: Simd> Simd for Doubled<S> {
    type F32 = [S::F32; 2];
    type I32 = [S::I32; 2];
    type I16 = [S::I16; 2];
    type I8 = [S::I8; 2];
    type Mask = [S::Mask; 2];
    const LANES: usize = 2 * S::LANES;
    const ROWS: usize = 6;
    const INT_ROWS: usize = 6;

    by_halves! {
        add(a: F32, b: F32) -> F32;
        sub(a: F32, b: F32) -> F32;
        mul(a: F32, b: F32) -> F32;
        div(a: F32, b: F32) -> F32;
        fma(a: F32, b: F32, c: F32) -> F32;
        sqrt(a: F32) -> F32;
        at_least(x: F32, c: F32) -> F32;
        at_most(x: F32, c: F32) -> F32;
        exponent(t: F32) -> F32;
        eq(a: F32, b: F32) -> Mask;
        gt(a: F32, b: F32) -> Mask;
        both(a: Mask, b: Mask) -> Mask;
        keep(mask: Mask, x: F32) -> F32;
        select(mask: Mask, a: F32, b: F32) -> F32;
        zero_i32() -> I32;
        to_bits(a: F32) -> I32;
        to_float(a: I32) -> F32;
        dot_i16(a: I16, b: I16, acc: I32) -> I32;
    }

    fn splat(self, x: f32) -> Self::F32 {
        [self.0.splat(x); 2]
    }
    fn narrow(self, a: Self::I32, b: Self::I32) -> Self::I16 {
        [self.0.narrow(a[0], a[1]), self.0.narrow(b[0], b[1])]
    }
    unsafe fn load(self, p: *const f32) -> Self::F32 {
        // SAFETY: `p` is valid for reading two vectors.
        [0, S::LANES].map(|i| unsafe { self.0.load(p.add(i)) })
    }
    unsafe fn store(self, p: *mut f32, v: Self::F32) {
        // SAFETY: `p` is valid for writing two vectors.
        unsafe {
            self.0.store(p.add(S::LANES), v[1]);
            self.0.store(p, v[0]);
        }
    }
    unsafe fn load_part(self, p: *const f32, n: usize) -> Self::F32 {
        // SAFETY: `p` is valid for reading n floats.
        unsafe {
            match n.checked_sub(S::LANES) {
                Some(n) => [self.0.load(p), self.0.load_part(p.add(S::LANES), n)],
                None => [self.0.load_part(p, n), self.0.splat(0.0)],
            }
        }
    }
    unsafe fn store_part(self, p: *mut f32, v: Self::F32, n: usize) {
        // SAFETY: `p` is valid for writing n floats.
        unsafe {
            match n.checked_sub(S::LANES) {
                Some(n) => {
                    self.0.store(p, v[0]);
                    self.0.store_part(p.add(S::LANES), v[1], n);
                }
                None => self.0.store_part(p, v[0], n),
            }
        }
    }
    unsafe fn load_i32(self, p: *const i32) -> Self::I32 {
        // SAFETY: `p` is valid for reading two vectors.
        [0, S::LANES].map(|i| unsafe { self.0.load_i32(p.add(i)) })
    }
    unsafe fn store_i32(self, p: *mut i32, v: Self::I32) {
        // SAFETY: `p` is valid for writing two vectors.
        unsafe {
            self.0.store_i32(p.add(S::LANES), v[1]);
            self.0.store_i32(p, v[0]);
        }
    }
    unsafe fn splat_i16(self, p: *const [i16; 2]) -> Self::I16 {
        // SAFETY: `p` is valid for reading a pair.
        [unsafe { self.0.splat_i16(p) }; 2]
    }
    unsafe fn load_i8_as_i16(self, p: *const i8) -> Self::I16 {
        // SAFETY: `p` is valid for reading two bytes for each lane.
        [0, 2 * S::LANES].map(|i| unsafe { self.0.load_i8_as_i16(p.add(i)) })
    }
    unsafe fn store_i16(self, p: *mut f32, v: Self::I16, n: usize) {
        // SAFETY: `p` is valid for writing the pairs of n lanes.
        unsafe {
            self.0.store_i16(p, v[0], n.min(S::LANES));
            if n > S::LANES {
                self.0.store_i16(p.add(S::LANES), v[1], n - S::LANES);
            }
        }
    }
}
