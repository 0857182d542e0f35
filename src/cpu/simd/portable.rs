//! Plain code.

use super::isa::Simd;

/// Four lanes in plain code, for targets without a known instruction set; tests hold the others against it.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

fn zip<A: Copy, B: Copy, C>(a: [A; 4], b: [B; 4], f: impl Fn(A, B) -> C) -> [C; 4] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

impl Simd for Portable {
    type F32 = [f32; 4];
    type I32 = [i32; 4];
    type I16 = [[i16; 2]; 4];
    type I8 = [[i8; 4]; 4];
    type Mask = [bool; 4];
    const LANES: usize = 4;
    const ROWS: usize = 4;
    const INT_ROWS: usize = 4;

    unsafe fn load(self, p: *const f32) -> [f32; 4] {
        // SAFETY: `p` is valid for reading a vector.
        unsafe { p.cast::<[f32; 4]>().read_unaligned() }
    }
    unsafe fn store(self, p: *mut f32, v: [f32; 4]) {
        // SAFETY: `p` is valid for writing a vector.
        unsafe { p.cast::<[f32; 4]>().write_unaligned(v) }
    }
    unsafe fn load_part(self, p: *const f32, n: usize) -> [f32; 4] {
        // SAFETY: `p` is valid for reading n floats.
        std::array::from_fn(|i| if i < n { unsafe { *p.add(i) } } else { 0.0 })
    }
    unsafe fn store_part(self, p: *mut f32, v: [f32; 4], n: usize) {
        // SAFETY: `p` is valid for writing n floats.
        v[..n].iter().enumerate().for_each(|(i, v)| unsafe { *p.add(i) = *v });
    }
    fn splat(self, x: f32) -> [f32; 4] {
        [x; 4]
    }
    fn add(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| a + b)
    }
    fn sub(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| a - b)
    }
    fn mul(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| a * b)
    }
    fn div(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| a / b)
    }
    fn fma(self, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        zip(zip(a, b, |a, b| a * b), c, |p, c| p + c)
    }
    fn sqrt(self, a: [f32; 4]) -> [f32; 4] {
        a.map(f32::sqrt)
    }
    fn at_least(self, x: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        zip(x, c, |x, c| if x < c { c } else { x })
    }
    fn at_most(self, x: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        zip(x, c, |x, c| if x > c { c } else { x })
    }
    fn exponent(self, t: [f32; 4]) -> [f32; 4] {
        t.map(|t| f32::from_bits(t.to_bits().wrapping_add(127) << 23))
    }
    fn eq(self, a: [f32; 4], b: [f32; 4]) -> [bool; 4] {
        zip(a, b, |a, b| a == b)
    }
    fn gt(self, a: [f32; 4], b: [f32; 4]) -> [bool; 4] {
        zip(a, b, |a, b| a > b)
    }
    fn both(self, a: [bool; 4], b: [bool; 4]) -> [bool; 4] {
        zip(a, b, |a, b| a && b)
    }
    fn keep(self, mask: [bool; 4], x: [f32; 4]) -> [f32; 4] {
        zip(mask, x, |keep, x| if keep { x } else { 0.0 })
    }
    fn select(self, mask: [bool; 4], a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| if mask[i] { a[i] } else { b[i] })
    }
    fn zero_i32(self) -> [i32; 4] {
        [0; 4]
    }
    fn to_bits(self, a: [f32; 4]) -> [i32; 4] {
        a.map(|a| a.to_bits() as i32)
    }
    fn to_float(self, a: [i32; 4]) -> [f32; 4] {
        a.map(|a| a as f32)
    }
    unsafe fn load_i32(self, p: *const i32) -> [i32; 4] {
        // SAFETY: `p` is valid for reading a vector.
        unsafe { p.cast::<[i32; 4]>().read_unaligned() }
    }
    unsafe fn store_i32(self, p: *mut i32, v: [i32; 4]) {
        // SAFETY: `p` is valid for writing a vector.
        unsafe { p.cast::<[i32; 4]>().write_unaligned(v) }
    }
    unsafe fn splat_i16(self, p: *const [i16; 2]) -> [[i16; 2]; 4] {
        // SAFETY: `p` is valid for reading a pair.
        [unsafe { p.read() }; 4]
    }
    unsafe fn load_i8_as_i16(self, p: *const i8) -> [[i16; 2]; 4] {
        // SAFETY: `p` is valid for reading eight bytes.
        unsafe { p.cast::<[[i8; 2]; 4]>().read() }.map(|pair| pair.map(i16::from))
    }
    unsafe fn store_i16(self, p: *mut f32, v: [[i16; 2]; 4], n: usize) {
        // SAFETY: `p` is valid for writing n pairs.
        v[..n].iter().enumerate().for_each(|(i, v)| unsafe { p.cast::<[i16; 2]>().add(i).write(*v) });
    }
    fn dot_i16(self, a: [[i16; 2]; 4], b: [[i16; 2]; 4], acc: [i32; 4]) -> [i32; 4] {
        let products = zip(a, b, |[a0, a1], [b0, b1]| i32::from(a0) * i32::from(b0) + i32::from(a1) * i32::from(b1));
        zip(acc, products, i32::wrapping_add)
    }
    fn narrow(self, a: [i32; 4], b: [i32; 4]) -> [[i16; 2]; 4] {
        let low = |i: usize| if i < 4 { a[i] } else { b[i - 4] } as i16;
        std::array::from_fn(|i| [low(2 * i), low(2 * i + 1)])
    }
}
