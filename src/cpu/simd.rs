//! Vectors of floats: one trait, one implementation for each instruction set, one place that chooses.
//!
//! A kernel is written once as a [`Kernel`], generic over [`Simd`]; [`dispatch`] runs it with the widest instruction set
//! there is: fixed at compile time on WebAssembly and aarch64, detected at run time on x86-64.

/// The most rows a matrix tile has on any instruction set.
pub(super) const MAX_ROWS: usize = 6;

/// The most lanes of any instruction set.
pub(super) const MAX_LANES: usize = 8;

/// One instruction set. All functions may only be called where it is available; masks are vectors whose lanes are all
/// ones or all zeros.
pub(super) trait Simd: Copy + 'static {
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

    /// Whether the build has the next two, and the processor may compute them exactly: see [`quads`].
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

/// Whether four bytes without a sign are multiplied with four that have one exactly, at once. WebAssembly leaves open what
/// its relaxed product does with bytes of more than 7 bits; processors that have the instruction (AVX-VNNI) do it right, and
/// others say otherwise here.
pub(super) fn quads() -> bool {
    static QUADS: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    // SAFETY: arithmetic, and memory of its own.
    *QUADS.get_or_init(|| unsafe { dispatch(Probe) })
}

struct Probe;

impl Kernel for Probe {
    type Output = bool;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> bool {
        if !S::QUADS {
            return false;
        }
        // The largest sums, of either sign: wherever one is cut off or read otherwise, the result is another.
        let (a, up, down) = ([-1i8; 4], [127i8; 4], [-127i8; 4]);
        let mut sums = [0i32; 2 * MAX_LANES];
        // SAFETY: four bytes are a float; the array holds two vectors.
        unsafe {
            let splat = |bytes: &[i8; 4]| S::splat_pair(bytes.as_ptr().cast());
            for (i, b) in [up, down].iter().enumerate() {
                let sum = S::dot_bytes(splat(&a), splat(b), S::splat(0.0));
                S::store(sums.as_mut_ptr().add(i * S::LANES).cast(), sum);
            }
        }
        let (up, down) = sums[..2 * S::LANES].split_at(S::LANES);
        up.iter().all(|&s| s == 4 * 255 * 127) && down.iter().all(|&s| s == -4 * 255 * 127)
    }
}

/// Adding this rounds to an integer, which then stands in the low bits.
pub(super) const MAGIC: f32 = 12_582_912.0;

/// Work over vectors: its fields are the arguments.
pub(super) trait Kernel {
    /// What it returns.
    type Output;

    /// # Safety
    /// S must be available, and the fields must keep what the kernel's documentation asks for.
    unsafe fn run<S: Simd>(self) -> Self::Output;
}

#[cfg(target_arch = "x86_64")]
mod choose {
    use super::{Kernel, x86};

    #[inline(always)]
    fn wide() -> bool {
        std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
    }

    #[target_feature(enable = "avx2,fma")]
    #[inline(never)]
    unsafe fn avx2<K: Kernel>(kernel: K) -> K::Output {
        // SAFETY: avx2 and fma are enabled here; the rest is the caller's promise.
        unsafe { kernel.run::<x86::Avx2>() }
    }

    #[inline(never)]
    unsafe fn sse<K: Kernel>(kernel: K) -> K::Output {
        // SAFETY: SSE2 is part of x86-64; the rest is the caller's promise.
        unsafe { kernel.run::<x86::Sse>() }
    }

    /// Runs a kernel on this machine's instruction set.
    ///
    /// # Safety
    /// As the kernel's documentation asks for.
    #[inline(always)]
    pub(in crate::cpu) unsafe fn dispatch<K: Kernel>(kernel: K) -> K::Output {
        // SAFETY: the instruction set was detected; the rest is the caller's promise.
        unsafe { if wide() { avx2(kernel) } else { sse(kernel) } }
    }

    pub(in crate::cpu) fn lanes() -> usize {
        if wide() { 8 } else { 4 }
    }

    pub(in crate::cpu) fn rows() -> usize {
        if wide() { 6 } else { 4 }
    }

    pub(in crate::cpu) fn name() -> &'static str {
        if wide() { "avx2+fma" } else { "sse" }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod choose {
    use super::{Kernel, Simd};

    #[cfg(target_arch = "aarch64")]
    use super::neon::Neon as Only;
    #[cfg(not(any(target_arch = "aarch64", all(target_arch = "wasm32", target_feature = "simd128"))))]
    use super::portable::Portable as Only;
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    use super::wasm::Simd128 as Only;

    /// Runs a kernel on this machine's instruction set. Never inlined: browsers optimize small functions sooner.
    ///
    /// # Safety
    /// As the kernel's documentation asks for.
    #[inline(never)]
    #[cfg_attr(optimize_attribute, optimize(speed))]
    pub(in crate::cpu) unsafe fn dispatch<K: Kernel>(kernel: K) -> K::Output {
        // SAFETY: the only instruction set of this build; the rest is the caller's promise.
        unsafe { kernel.run::<Only>() }
    }

    pub(in crate::cpu) fn lanes() -> usize {
        Only::LANES
    }

    pub(in crate::cpu) fn rows() -> usize {
        Only::ROWS
    }

    pub(in crate::cpu) fn name() -> &'static str {
        if cfg!(target_arch = "aarch64") {
            "neon"
        } else if cfg!(all(target_arch = "wasm32", target_feature = "relaxed-simd")) {
            "relaxed-simd"
        } else if cfg!(all(target_arch = "wasm32", target_feature = "simd128")) {
            "simd128"
        } else {
            "portable"
        }
    }
}

pub(super) use choose::{dispatch, lanes, name, rows};
#[cfg(test)]
pub(super) use portable::Portable;
#[cfg(all(test, target_arch = "x86_64"))]
pub(super) use x86::Sse;

/// Implements one-expression functions of [`Simd`] for an instruction set whose intrinsics are called in `unsafe`.
#[cfg(target_arch = "x86_64")]
macro_rules! ops {
    ($v:ty; $($name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $body:expr;)*) => {
        $(#[inline(always)]
        unsafe fn $name($($arg: $ty),*) $(-> $ret)? {
            // SAFETY: the caller promises the instruction set, and for pointers that they are valid for this access.
            #[allow(unused_unsafe, reason = "some intrinsics are safe when the set is always there")]
            unsafe { $body }
        })*
    };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Simd;

    /// Eight lanes with fused multiply-add.
    #[derive(Clone, Copy)]
    pub(super) struct Avx2;

    /// Four lanes, what every x86-64 has.
    #[derive(Clone, Copy)]
    pub(in crate::cpu) struct Sse;

    /// `n` lanes of ones from index `8 - n`.
    static MASK: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

    impl Simd for Avx2 {
        type V = __m256;
        const LANES: usize = 8;
        const ROWS: usize = 6;
        const INT_ROWS: usize = 6;

        ops! { __m256;
            load(p: *const f32) -> __m256 = _mm256_loadu_ps(p);
            store(p: *mut f32, v: __m256) = _mm256_storeu_ps(p, v);
            load_part(p: *const f32, n: usize) -> __m256 = _mm256_maskload_ps(p, _mm256_loadu_si256(MASK.as_ptr().add(8 - n).cast()));
            store_part(p: *mut f32, v: __m256, n: usize) = _mm256_maskstore_ps(p, _mm256_loadu_si256(MASK.as_ptr().add(8 - n).cast()), v);
            splat(x: f32) -> __m256 = _mm256_set1_ps(x);
            add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
            sub(a: __m256, b: __m256) -> __m256 = _mm256_sub_ps(a, b);
            mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
            div(a: __m256, b: __m256) -> __m256 = _mm256_div_ps(a, b);
            fma(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
            sqrt(a: __m256) -> __m256 = _mm256_sqrt_ps(a);
            at_least(x: __m256, c: __m256) -> __m256 = _mm256_max_ps(c, x);
            at_most(x: __m256, c: __m256) -> __m256 = _mm256_min_ps(c, x);
            eq(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b);
            gt(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_GT_OQ>(a, b);
            and(a: __m256, b: __m256) -> __m256 = _mm256_and_ps(a, b);
            select(mask: __m256, a: __m256, b: __m256) -> __m256 = _mm256_blendv_ps(b, a, mask);
            exponent(t: __m256) -> __m256 =
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_castps_si256(t), _mm256_set1_epi32(127))));
            splat_pair(p: *const f32) -> __m256 = _mm256_castsi256_ps(_mm256_set1_epi32(p.cast::<i32>().read()));
            load_pairs(p: *const i8) -> __m256 = _mm256_castsi256_ps(_mm256_cvtepi8_epi16(_mm_loadu_si128(p.cast())));
            dot(a: __m256, b: __m256, acc: __m256) -> __m256 = {
                let products = _mm256_madd_epi16(_mm256_castps_si256(a), _mm256_castps_si256(b));
                _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(acc), products))
            };
            to_float(a: __m256) -> __m256 = _mm256_cvtepi32_ps(_mm256_castps_si256(a));
            narrow(a: __m256, b: __m256) -> __m256 = {
                let low = |v| _mm256_srai_epi32::<16>(_mm256_slli_epi32::<16>(_mm256_castps_si256(v)));
                // Packing works on halves of the vectors: their quarters come out crossed.
                _mm256_castsi256_ps(_mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(low(a), low(b))))
            };
        }
    }

    impl Simd for Sse {
        type V = __m128;
        const LANES: usize = 4;
        const ROWS: usize = 4;
        const INT_ROWS: usize = 4;

        ops! { __m128;
            load(p: *const f32) -> __m128 = _mm_loadu_ps(p);
            store(p: *mut f32, v: __m128) = _mm_storeu_ps(p, v);
            load_part(p: *const f32, n: usize) -> __m128 = {
                let lane = |i: usize| if i < n { *p.add(i) } else { 0.0 };
                _mm_setr_ps(lane(0), lane(1), lane(2), 0.0)
            };
            store_part(p: *mut f32, v: __m128, n: usize) = {
                let mut lanes = [0.0f32; 4];
                _mm_storeu_ps(lanes.as_mut_ptr(), v);
                std::ptr::copy_nonoverlapping(lanes.as_ptr(), p, n);
            };
            splat(x: f32) -> __m128 = _mm_set1_ps(x);
            add(a: __m128, b: __m128) -> __m128 = _mm_add_ps(a, b);
            sub(a: __m128, b: __m128) -> __m128 = _mm_sub_ps(a, b);
            mul(a: __m128, b: __m128) -> __m128 = _mm_mul_ps(a, b);
            div(a: __m128, b: __m128) -> __m128 = _mm_div_ps(a, b);
            fma(a: __m128, b: __m128, c: __m128) -> __m128 = _mm_add_ps(_mm_mul_ps(a, b), c);
            sqrt(a: __m128) -> __m128 = _mm_sqrt_ps(a);
            at_least(x: __m128, c: __m128) -> __m128 = _mm_max_ps(c, x);
            at_most(x: __m128, c: __m128) -> __m128 = _mm_min_ps(c, x);
            eq(a: __m128, b: __m128) -> __m128 = _mm_cmpeq_ps(a, b);
            gt(a: __m128, b: __m128) -> __m128 = _mm_cmpgt_ps(a, b);
            and(a: __m128, b: __m128) -> __m128 = _mm_and_ps(a, b);
            select(mask: __m128, a: __m128, b: __m128) -> __m128 = _mm_or_ps(_mm_and_ps(mask, a), _mm_andnot_ps(mask, b));
            exponent(t: __m128) -> __m128 =
                _mm_castsi128_ps(_mm_slli_epi32::<23>(_mm_add_epi32(_mm_castps_si128(t), _mm_set1_epi32(127))));
            splat_pair(p: *const f32) -> __m128 = _mm_castsi128_ps(_mm_set1_epi32(p.cast::<i32>().read()));
            load_pairs(p: *const i8) -> __m128 = {
                let bytes = _mm_loadl_epi64(p.cast());
                _mm_castsi128_ps(_mm_srai_epi16::<8>(_mm_unpacklo_epi8(bytes, bytes)))
            };
            dot(a: __m128, b: __m128, acc: __m128) -> __m128 = {
                let products = _mm_madd_epi16(_mm_castps_si128(a), _mm_castps_si128(b));
                _mm_castsi128_ps(_mm_add_epi32(_mm_castps_si128(acc), products))
            };
            to_float(a: __m128) -> __m128 = _mm_cvtepi32_ps(_mm_castps_si128(a));
            narrow(a: __m128, b: __m128) -> __m128 = {
                let low = |v| _mm_srai_epi32::<16>(_mm_slli_epi32::<16>(_mm_castps_si128(v)));
                _mm_castsi128_ps(_mm_packs_epi32(low(a), low(b)))
            };
        }
    }
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm {
    use std::arch::wasm32::*;

    use super::Simd;

    /// Four lanes; `relaxed_madd` where the build has relaxed SIMD.
    #[derive(Clone, Copy)]
    pub(super) struct Simd128;

    impl Simd for Simd128 {
        type V = v128;
        const LANES: usize = 4;
        // A separate multiplication needs registers for its results.
        const ROWS: usize = if cfg!(target_feature = "relaxed-simd") { 6 } else { 4 };
        const INT_ROWS: usize = 4;

        #[inline(always)]
        unsafe fn load(p: *const f32) -> v128 {
            // SAFETY: the caller promises four readable floats.
            unsafe { v128_load(p.cast()) }
        }
        #[inline(always)]
        unsafe fn store(p: *mut f32, v: v128) {
            // SAFETY: the caller promises four writable floats.
            unsafe { v128_store(p.cast(), v) }
        }
        #[inline(always)]
        unsafe fn load_part(p: *const f32, n: usize) -> v128 {
            // SAFETY: the caller promises n readable floats, and no more are read.
            unsafe {
                match n {
                    0 => f32x4_splat(0.0),
                    1 => v128_load32_zero(p.cast()),
                    2 => v128_load64_zero(p.cast()),
                    _ => v128_load32_lane::<2>(v128_load64_zero(p.cast()), p.add(2).cast()),
                }
            }
        }
        #[inline(always)]
        unsafe fn store_part(p: *mut f32, v: v128, n: usize) {
            // SAFETY: the caller promises n writable floats, and no more are written.
            unsafe {
                match n {
                    0 => {}
                    1 => v128_store32_lane::<0>(v, p.cast()),
                    2 => v128_store64_lane::<0>(v, p.cast()),
                    _ => {
                        v128_store64_lane::<0>(v, p.cast());
                        v128_store32_lane::<2>(v, p.add(2).cast());
                    }
                }
            }
        }
        #[inline(always)]
        unsafe fn splat(x: f32) -> v128 {
            f32x4_splat(x)
        }
        #[inline(always)]
        unsafe fn add(a: v128, b: v128) -> v128 {
            f32x4_add(a, b)
        }
        #[inline(always)]
        unsafe fn sub(a: v128, b: v128) -> v128 {
            f32x4_sub(a, b)
        }
        #[inline(always)]
        unsafe fn mul(a: v128, b: v128) -> v128 {
            f32x4_mul(a, b)
        }
        #[inline(always)]
        unsafe fn div(a: v128, b: v128) -> v128 {
            f32x4_div(a, b)
        }
        #[inline(always)]
        unsafe fn fma(a: v128, b: v128, c: v128) -> v128 {
            #[cfg(target_feature = "relaxed-simd")]
            return f32x4_relaxed_madd(a, b, c);
            #[cfg(not(target_feature = "relaxed-simd"))]
            return f32x4_add(f32x4_mul(a, b), c);
        }
        #[inline(always)]
        unsafe fn sqrt(a: v128) -> v128 {
            f32x4_sqrt(a)
        }
        #[inline(always)]
        unsafe fn round(x: v128) -> v128 {
            f32x4_nearest(x)
        }
        #[inline(always)]
        unsafe fn at_least(x: v128, c: v128) -> v128 {
            f32x4_pmax(x, c)
        }
        #[inline(always)]
        unsafe fn at_most(x: v128, c: v128) -> v128 {
            f32x4_pmin(x, c)
        }
        #[inline(always)]
        unsafe fn eq(a: v128, b: v128) -> v128 {
            f32x4_eq(a, b)
        }
        #[inline(always)]
        unsafe fn gt(a: v128, b: v128) -> v128 {
            f32x4_gt(a, b)
        }
        #[inline(always)]
        unsafe fn and(a: v128, b: v128) -> v128 {
            v128_and(a, b)
        }
        #[inline(always)]
        unsafe fn select(mask: v128, a: v128, b: v128) -> v128 {
            v128_bitselect(a, b, mask)
        }
        #[inline(always)]
        unsafe fn exponent(t: v128) -> v128 {
            i32x4_shl(i32x4_add(t, i32x4_splat(127)), 23)
        }
        #[inline(always)]
        unsafe fn splat_pair(p: *const f32) -> v128 {
            // SAFETY: the caller promises a readable pair.
            unsafe { v128_load32_splat(p.cast()) }
        }
        #[inline(always)]
        unsafe fn load_pairs(p: *const i8) -> v128 {
            // SAFETY: the caller promises eight readable bytes.
            unsafe { i16x8_load_extend_i8x8(p) }
        }
        #[inline(always)]
        unsafe fn dot(a: v128, b: v128, acc: v128) -> v128 {
            i32x4_add(acc, i32x4_dot_i16x8(a, b))
        }
        #[inline(always)]
        unsafe fn to_float(a: v128) -> v128 {
            f32x4_convert_i32x4(a)
        }
        #[inline(always)]
        unsafe fn narrow(a: v128, b: v128) -> v128 {
            i16x8_shuffle::<0, 2, 4, 6, 8, 10, 12, 14>(a, b)
        }
        #[cfg(target_feature = "relaxed-simd")]
        const QUADS: bool = true;
        #[cfg(target_feature = "relaxed-simd")]
        #[inline(always)]
        unsafe fn dot_bytes(a: v128, b: v128, acc: v128) -> v128 {
            i32x4_relaxed_dot_i8x16_i7x16_add(b, a, acc)
        }
        #[cfg(target_feature = "relaxed-simd")]
        #[inline(always)]
        unsafe fn narrow_bytes(a: v128, b: v128) -> v128 {
            u8x16_narrow_i16x8(a, b)
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use std::arch::aarch64::*;

    use super::Simd;

    /// Four lanes with fused multiply-add.
    #[derive(Clone, Copy)]
    pub(super) struct Neon;

    /// Implements one-expression functions of [`Simd`].
    macro_rules! ops {
        ($($name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $body:expr;)*) => {
            $(#[inline(always)]
            unsafe fn $name($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: NEON is part of aarch64; pointers are valid for this access by the caller's promise.
                #[allow(unused_unsafe, reason = "most intrinsics are safe when the set is always there")]
                unsafe { $body }
            })*
        };
    }

    impl Simd for Neon {
        type V = float32x4_t;
        const LANES: usize = 4;
        const ROWS: usize = 6;
        const INT_ROWS: usize = 6;

        ops! {
            load(p: *const f32) -> float32x4_t = vld1q_f32(p);
            store(p: *mut f32, v: float32x4_t) = vst1q_f32(p, v);
            load_part(p: *const f32, n: usize) -> float32x4_t = {
                let mut lanes = [0.0f32; 4];
                std::ptr::copy_nonoverlapping(p, lanes.as_mut_ptr(), n);
                vld1q_f32(lanes.as_ptr())
            };
            store_part(p: *mut f32, v: float32x4_t, n: usize) = {
                let mut lanes = [0.0f32; 4];
                vst1q_f32(lanes.as_mut_ptr(), v);
                std::ptr::copy_nonoverlapping(lanes.as_ptr(), p, n);
            };
            splat(x: f32) -> float32x4_t = vdupq_n_f32(x);
            add(a: float32x4_t, b: float32x4_t) -> float32x4_t = vaddq_f32(a, b);
            sub(a: float32x4_t, b: float32x4_t) -> float32x4_t = vsubq_f32(a, b);
            mul(a: float32x4_t, b: float32x4_t) -> float32x4_t = vmulq_f32(a, b);
            div(a: float32x4_t, b: float32x4_t) -> float32x4_t = vdivq_f32(a, b);
            fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t = vfmaq_f32(c, a, b);
            sqrt(a: float32x4_t) -> float32x4_t = vsqrtq_f32(a);
            at_least(x: float32x4_t, c: float32x4_t) -> float32x4_t = vbslq_f32(vcltq_f32(x, c), c, x);
            at_most(x: float32x4_t, c: float32x4_t) -> float32x4_t = vbslq_f32(vcgtq_f32(x, c), c, x);
            eq(a: float32x4_t, b: float32x4_t) -> float32x4_t = vreinterpretq_f32_u32(vceqq_f32(a, b));
            gt(a: float32x4_t, b: float32x4_t) -> float32x4_t = vreinterpretq_f32_u32(vcgtq_f32(a, b));
            and(a: float32x4_t, b: float32x4_t) -> float32x4_t =
                vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b)));
            select(mask: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t =
                vbslq_f32(vreinterpretq_u32_f32(mask), a, b);
            exponent(t: float32x4_t) -> float32x4_t =
                vreinterpretq_f32_u32(vshlq_n_u32::<23>(vaddq_u32(vreinterpretq_u32_f32(t), vdupq_n_u32(127))));
            splat_pair(p: *const f32) -> float32x4_t = vreinterpretq_f32_s32(vld1q_dup_s32(p.cast()));
            load_pairs(p: *const i8) -> float32x4_t = vreinterpretq_f32_s16(vmovl_s8(vld1_s8(p)));
            dot(a: float32x4_t, b: float32x4_t, acc: float32x4_t) -> float32x4_t = {
                let (a, b) = (vreinterpretq_s16_f32(a), vreinterpretq_s16_f32(b));
                let products = vpaddq_s32(vmull_s16(vget_low_s16(a), vget_low_s16(b)), vmull_high_s16(a, b));
                vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(acc), products))
            };
            to_float(a: float32x4_t) -> float32x4_t = vcvtq_f32_s32(vreinterpretq_s32_f32(a));
            narrow(a: float32x4_t, b: float32x4_t) -> float32x4_t =
                vreinterpretq_f32_s16(vuzp1q_s16(vreinterpretq_s16_f32(a), vreinterpretq_s16_f32(b)));
        }
    }
}

#[cfg(any(test, not(any(target_arch = "x86_64", target_arch = "aarch64", target_feature = "simd128"))))]
mod portable {
    use super::Simd;

    /// Four lanes in plain code, for targets without a known instruction set; also what the others are tested against.
    #[derive(Clone, Copy)]
    pub(in crate::cpu) struct Portable;

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
}

/// `exp(x)` to about one unit in the last place; saturates at the ends of the normal range, NaN stays (coefficients of
/// Moshier's Cephes library).
///
/// # Safety
/// S must be available.
#[inline(always)]
pub(super) unsafe fn exp<S: Simd>(x: S::V) -> S::V {
    // SAFETY: arithmetic only; S is available by the caller's promise.
    unsafe {
        let x = S::at_most(S::at_least(x, S::splat(-87.336_54)), S::splat(88.376_26));
        let t = S::fma(x, S::splat(std::f32::consts::LOG2_E), S::splat(MAGIC));
        let n = S::sub(t, S::splat(MAGIC));
        // ln 2 in two parts, the first short enough for n times it to be exact.
        let r = S::fma(n, S::splat(-0.693_359_4), x);
        let r = S::fma(n, S::splat(2.121_944_4e-4), r);
        let mut p = S::splat(1.987_569_1e-4);
        for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1] {
            p = S::fma(p, r, S::splat(c));
        }
        let p = S::fma(S::mul(p, r), r, S::add(r, S::splat(1.0)));
        S::mul(p, S::exponent(t))
    }
}

/// `tanh(x)` to a few units in the last place, as a quotient of polynomials (coefficients of the Eigen library).
///
/// # Safety
/// S must be available.
#[inline(always)]
pub(super) unsafe fn tanh<S: Simd>(x: S::V) -> S::V {
    // SAFETY: arithmetic only; S is available by the caller's promise.
    unsafe {
        let x = S::at_most(S::at_least(x, S::splat(-7.905_311)), S::splat(7.905_311));
        let x2 = S::mul(x, x);
        let mut p = S::splat(-2.760_768_5e-16);
        for c in [2.000_188e-13, -8.604_672e-11, 5.122_297e-8, 1.485_722_4e-5, 6.372_619_3e-4, 4.893_524_6e-3] {
            p = S::fma(p, x2, S::splat(c));
        }
        let mut q = S::splat(1.198_258_4e-6);
        for c in [1.185_347_1e-4, 2.268_434_6e-3, 4.893_525_3e-3] {
            q = S::fma(q, x2, S::splat(c));
        }
        S::div(S::mul(p, x), q)
    }
}

/// How a vector is loaded and stored: whole, or at the end of a row.
pub(super) trait Access: Copy {
    /// # Safety
    /// S must be available, and the pointer valid for what is accessed.
    unsafe fn load<S: Simd>(self, p: *const f32) -> S::V;
    /// # Safety
    /// As `load`.
    unsafe fn store<S: Simd>(self, p: *mut f32, v: S::V);
}

/// All lanes.
#[derive(Clone, Copy)]
pub(super) struct Whole;

/// The first lanes.
#[derive(Clone, Copy)]
pub(super) struct Part(pub usize);

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

/// A function of N floats to one, lane by lane.
pub(super) trait Lanewise<const N: usize> {
    /// # Safety
    /// S must be available.
    unsafe fn apply<S: Simd>(&self, x: [S::V; N]) -> S::V;
}

/// `y[i] = f(x0[i], x1[i], …)`. The pointers must be valid for n floats; y may be one of x, but not overlap otherwise.
struct Map<'a, const N: usize, F> {
    f: &'a F,
    x: [*const f32; N],
    y: *mut f32,
    n: usize,
}

impl<const N: usize, F: Lanewise<N>> Kernel for Map<'_, N, F> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Map { f, x, y, n } = self;
        let mut i = 0;
        // SAFETY: all accesses are below n, for which the pointers are valid.
        unsafe {
            while i + S::LANES <= n {
                let mut v = [S::splat(0.0); N];
                for k in 0..N {
                    v[k] = S::load(x[k].add(i));
                }
                S::store(y.add(i), f.apply::<S>(v));
                i += S::LANES;
            }
            if i < n {
                let mut v = [S::splat(0.0); N];
                for k in 0..N {
                    v[k] = S::load_part(x[k].add(i), n - i);
                }
                S::store_part(y.add(i), f.apply::<S>(v), n - i);
            }
        }
    }
}

/// `y[i] = f(x0[i], x1[i], …)` for `n` floats.
///
/// # Safety
/// The pointers must be valid for n floats; y may be one of x, but not overlap otherwise.
#[inline(always)]
pub(super) unsafe fn map<const N: usize, F: Lanewise<N>>(f: &F, x: [*const f32; N], y: *mut f32, n: usize) {
    // SAFETY: the caller's promise is that of the kernel.
    unsafe { dispatch(Map { f, x, y, n }) }
}

/// Whether every value is finite.
pub(super) fn all_finite(x: &[f32]) -> bool {
    // SAFETY: the slice is valid for its length.
    unsafe { dispatch(AllFinite(x)) }
}

struct AllFinite<'a>(&'a [f32]);

impl Kernel for AllFinite<'_> {
    type Output = bool;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> bool {
        let x = self.0;
        let pair = 2 * S::LANES;
        let whole = x.len() / pair * pair;
        // SAFETY: i + 2 * LANES <= whole <= len.
        unsafe {
            let zero = S::splat(0.0);
            let mut sum = [zero; 2];
            for i in (0..whole).step_by(pair) {
                // Zero times infinity is NaN, and NaN stays in a sum.
                sum[0] = S::fma(S::load(x.as_ptr().add(i)), zero, sum[0]);
                sum[1] = S::fma(S::load(x.as_ptr().add(i + S::LANES)), zero, sum[1]);
            }
            let mut lanes = [0.0; MAX_LANES];
            S::store(lanes.as_mut_ptr(), S::add(sum[0], sum[1]));
            lanes.iter().sum::<f32>() == 0.0 && x[whole..].iter().all(|v| v.is_finite())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Exp;
    impl Lanewise<1> for Exp {
        #[inline(always)]
        unsafe fn apply<S: Simd>(&self, [x]: [S::V; 1]) -> S::V {
            // SAFETY: S is available by the caller's promise.
            unsafe { exp::<S>(x) }
        }
    }

    struct Tanh;
    impl Lanewise<1> for Tanh {
        #[inline(always)]
        unsafe fn apply<S: Simd>(&self, [x]: [S::V; 1]) -> S::V {
            // SAFETY: S is available by the caller's promise.
            unsafe { tanh::<S>(x) }
        }
    }

    /// Runs on every instruction set of this machine, and in plain code.
    fn on_all<F: Lanewise<1>>(f: &F, x: &[f32]) -> Vec<Vec<f32>> {
        let mut results = vec![vec![0.0; x.len()]; 3];
        let [a, b, c] = results.get_disjoint_mut([0, 1, 2]).unwrap();
        let n = x.len();
        // SAFETY: x and each result hold n floats; SSE2 is part of x86-64.
        unsafe {
            map(f, [x.as_ptr()], a.as_mut_ptr(), n);
            Map { f, x: [x.as_ptr()], y: b.as_mut_ptr(), n }.run::<portable::Portable>();
            #[cfg(target_arch = "x86_64")]
            Map { f, x: [x.as_ptr()], y: c.as_mut_ptr(), n }.run::<x86::Sse>();
            #[cfg(not(target_arch = "x86_64"))]
            Map { f, x: [x.as_ptr()], y: c.as_mut_ptr(), n }.run::<portable::Portable>();
        }
        results
    }

    fn worst(f: &impl Lanewise<1>, truth: fn(f64) -> f64, limit: f32) -> f64 {
        let x: Vec<f32> = (-20_003..=20_000).map(|i| i as f32 / 20_000.0 * limit).collect();
        let mut worst = 0.0f64;
        for y in on_all(f, &x) {
            for (x, y) in x.iter().zip(&y) {
                let want = truth(f64::from(*x));
                worst = worst.max(((f64::from(*y) - want) / want.abs().max(1e-38)).abs());
            }
        }
        worst
    }

    #[test]
    fn exponential_functions_are_accurate() {
        assert!(worst(&Exp, f64::exp, 87.0) < 3e-7, "{}", worst(&Exp, f64::exp, 87.0));
        assert!(worst(&Tanh, f64::tanh, 12.0) < 1e-6, "{}", worst(&Tanh, f64::tanh, 12.0));
    }

    #[test]
    fn not_a_number_stays_one() {
        for y in on_all(&Exp, &[f32::NAN; 9]).into_iter().chain(on_all(&Tanh, &[f32::NAN; 9])) {
            assert!(y.iter().all(|v| v.is_nan()));
        }
    }

    #[test]
    fn finite_is_told_from_not() {
        for n in 0..40 {
            let mut x = vec![f32::MAX; n];
            assert!(all_finite(&x));
            for i in 0..n {
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    x[i] = bad;
                    assert!(!all_finite(&x));
                }
                x[i] = -1.0;
            }
        }
    }
}
