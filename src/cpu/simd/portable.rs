//! Plain code.

use super::isa::Simd;

/// Four lanes in plain code, for targets without a known instruction set; also what the others are tested against.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

type V = [f32; 4];

fn zip(a: V, b: V, f: impl Fn(f32, f32) -> f32) -> V {
    std::array::from_fn(|i| f(a[i], b[i]))
}

fn mask(yes: bool) -> f32 {
    f32::from_bits(if yes { u32::MAX } else { 0 })
}

fn halves(lane: f32) -> [i16; 2] {
    let bits = lane.to_bits();
    [bits as i16, (bits >> 16) as i16]
}

fn pair([low, high]: [i16; 2]) -> f32 {
    f32::from_bits(u32::from(low as u16) | u32::from(high as u16) << 16)
}

impl Simd for Portable {
    type V = V;
    const LANES: usize = 4;
    const ROWS: usize = 4;
    const INT_ROWS: usize = 4;

    unsafe fn load(p: *const f32) -> V {
        // SAFETY: the caller promises four readable floats.
        unsafe { p.cast::<V>().read_unaligned() }
    }
    unsafe fn store(p: *mut f32, v: V) {
        // SAFETY: the caller promises four writable floats.
        unsafe { p.cast::<V>().write_unaligned(v) }
    }
    unsafe fn load_part(p: *const f32, n: usize) -> V {
        // SAFETY: the caller promises n readable floats.
        std::array::from_fn(|i| if i < n { unsafe { *p.add(i) } } else { 0.0 })
    }
    unsafe fn store_part(p: *mut f32, v: V, n: usize) {
        // SAFETY: the caller promises n writable floats.
        v[..n].iter().enumerate().for_each(|(i, v)| unsafe { *p.add(i) = *v });
    }
    unsafe fn splat(x: f32) -> V {
        [x; 4]
    }
    unsafe fn add(a: V, b: V) -> V {
        zip(a, b, |a, b| a + b)
    }
    unsafe fn sub(a: V, b: V) -> V {
        zip(a, b, |a, b| a - b)
    }
    unsafe fn mul(a: V, b: V) -> V {
        zip(a, b, |a, b| a * b)
    }
    unsafe fn div(a: V, b: V) -> V {
        zip(a, b, |a, b| a / b)
    }
    unsafe fn fma(a: V, b: V, c: V) -> V {
        zip(zip(a, b, |a, b| a * b), c, |p, c| p + c)
    }
    unsafe fn sqrt(a: V) -> V {
        a.map(f32::sqrt)
    }
    unsafe fn at_least(x: V, c: V) -> V {
        zip(x, c, |x, c| if x < c { c } else { x })
    }
    unsafe fn at_most(x: V, c: V) -> V {
        zip(x, c, |x, c| if x > c { c } else { x })
    }
    unsafe fn eq(a: V, b: V) -> V {
        zip(a, b, |a, b| mask(a == b))
    }
    unsafe fn gt(a: V, b: V) -> V {
        zip(a, b, |a, b| mask(a > b))
    }
    unsafe fn and(a: V, b: V) -> V {
        zip(a, b, |a, b| f32::from_bits(a.to_bits() & b.to_bits()))
    }
    unsafe fn select(mask: V, a: V, b: V) -> V {
        std::array::from_fn(|i| if mask[i].to_bits() == 0 { b[i] } else { a[i] })
    }
    unsafe fn exponent(t: V) -> V {
        t.map(|t| f32::from_bits(t.to_bits().wrapping_add(127) << 23))
    }
    unsafe fn splat_pair(p: *const f32) -> V {
        // SAFETY: the caller promises a readable pair.
        [unsafe { p.read() }; 4]
    }
    unsafe fn load_pairs(p: *const i8) -> V {
        // SAFETY: the caller promises eight readable bytes.
        let bytes = unsafe { p.cast::<[i8; 8]>().read() };
        std::array::from_fn(|i| pair([bytes[2 * i].into(), bytes[2 * i + 1].into()]))
    }
    unsafe fn dot(a: V, b: V, acc: V) -> V {
        std::array::from_fn(|i| {
            let ([a0, a1], [b0, b1]) = (halves(a[i]), halves(b[i]));
            let products = i32::from(a0) * i32::from(b0) + i32::from(a1) * i32::from(b1);
            f32::from_bits(acc[i].to_bits().wrapping_add(products as u32))
        })
    }
    unsafe fn to_float(a: V) -> V {
        a.map(|a| a.to_bits() as i32 as f32)
    }
    unsafe fn narrow(a: V, b: V) -> V {
        let low = |i: usize| halves(if i < 4 { a[i] } else { b[i - 4] })[0];
        std::array::from_fn(|i| pair([low(2 * i), low(2 * i + 1)]))
    }
}
