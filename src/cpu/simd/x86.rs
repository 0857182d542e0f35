//! x86-64: AVX2 with FMA, else SSE2.

use std::arch::x86_64::*;

use super::isa::{Simd, accesses, arithmetic};

/// Eight lanes with fused multiply-add.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// Proves that this processor has AVX2 and FMA.
    #[inline(always)]
    pub(crate) fn detect() -> Option<Self> {
        let has = std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma");
        has.then_some(Avx2(()))
    }
}

/// Four lanes: SSE2, which is part of x86-64.
#[derive(Clone, Copy)]
pub(crate) struct Sse;

/// `n` lanes of ones from index `8 - n`.
static MASK: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

impl Simd for Avx2 {
    type F32 = __m256;
    type I32 = __m256i;
    type I16 = __m256i;
    type I8 = __m256i;
    type Mask = __m256;
    const LANES: usize = 8;
    const ROWS: usize = 6;
    const INT_ROWS: usize = 6;

    accesses! {
        load(p: *const f32) -> __m256 = _mm256_loadu_ps(p);
        store(p: *mut f32, v: __m256) = _mm256_storeu_ps(p, v);
        load_part(p: *const f32, n: usize) -> __m256 =
            _mm256_maskload_ps(p, _mm256_loadu_si256(MASK.as_ptr().add(8 - n).cast()));
        store_part(p: *mut f32, v: __m256, n: usize) =
            _mm256_maskstore_ps(p, _mm256_loadu_si256(MASK.as_ptr().add(8 - n).cast()), v);
        load_i32(p: *const i32) -> __m256i = _mm256_loadu_si256(p.cast());
        store_i32(p: *mut i32, v: __m256i) = _mm256_storeu_si256(p.cast(), v);
        splat_i16(p: *const [i16; 2]) -> __m256i = _mm256_set1_epi32(p.cast::<i32>().read());
        load_i8_as_i16(p: *const i8) -> __m256i = _mm256_cvtepi8_epi16(_mm_loadu_si128(p.cast()));
    }

    #[inline(always)]
    unsafe fn store_i16(self, p: *mut f32, v: __m256i, n: usize) {
        // SAFETY: `self` proves that the instruction set is available; `p` is valid for writing n words.
        unsafe {
            let v = _mm256_castsi256_ps(v);
            if n == Self::LANES { self.store(p, v) } else { self.store_part(p, v, n) }
        }
    }

    arithmetic! {
        splat(x: f32) -> __m256 = _mm256_set1_ps(x);
        add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
        sub(a: __m256, b: __m256) -> __m256 = _mm256_sub_ps(a, b);
        mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
        div(a: __m256, b: __m256) -> __m256 = _mm256_div_ps(a, b);
        fma(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
        sqrt(a: __m256) -> __m256 = _mm256_sqrt_ps(a);
        at_least(x: __m256, c: __m256) -> __m256 = _mm256_max_ps(c, x);
        at_most(x: __m256, c: __m256) -> __m256 = _mm256_min_ps(c, x);
        exponent(t: __m256) -> __m256 = {
            let biased = _mm256_add_epi32(_mm256_castps_si256(t), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
        };
        eq(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b);
        gt(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_GT_OQ>(a, b);
        both(a: __m256, b: __m256) -> __m256 = _mm256_and_ps(a, b);
        keep(mask: __m256, x: __m256) -> __m256 = _mm256_and_ps(mask, x);
        select(mask: __m256, a: __m256, b: __m256) -> __m256 = _mm256_blendv_ps(b, a, mask);
        zero_i32() -> __m256i = _mm256_setzero_si256();
        to_bits(a: __m256) -> __m256i = _mm256_castps_si256(a);
        to_float(a: __m256i) -> __m256 = _mm256_cvtepi32_ps(a);
        dot_i16(a: __m256i, b: __m256i, acc: __m256i) -> __m256i = _mm256_add_epi32(acc, _mm256_madd_epi16(a, b));
        narrow(a: __m256i, b: __m256i) -> __m256i = {
            let low = |v| _mm256_srai_epi32::<16>(_mm256_slli_epi32::<16>(v));
            // Packing works on halves of the vectors: their quarters come out crossed.
            _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(low(a), low(b)))
        };
    }
}

impl Simd for Sse {
    type F32 = __m128;
    type I32 = __m128i;
    type I16 = __m128i;
    type I8 = __m128i;
    type Mask = __m128;
    const LANES: usize = 4;
    const ROWS: usize = 4;
    const INT_ROWS: usize = 4;

    accesses! {
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
        load_i32(p: *const i32) -> __m128i = _mm_loadu_si128(p.cast());
        store_i32(p: *mut i32, v: __m128i) = _mm_storeu_si128(p.cast(), v);
        splat_i16(p: *const [i16; 2]) -> __m128i = _mm_set1_epi32(p.cast::<i32>().read());
        load_i8_as_i16(p: *const i8) -> __m128i = {
            let bytes = _mm_loadl_epi64(p.cast());
            _mm_srai_epi16::<8>(_mm_unpacklo_epi8(bytes, bytes))
        };
    }

    #[inline(always)]
    unsafe fn store_i16(self, p: *mut f32, v: __m128i, n: usize) {
        // SAFETY: `self` proves that the instruction set is available; `p` is valid for writing n words.
        unsafe {
            let v = _mm_castsi128_ps(v);
            if n == Self::LANES { self.store(p, v) } else { self.store_part(p, v, n) }
        }
    }

    arithmetic! {
        splat(x: f32) -> __m128 = _mm_set1_ps(x);
        add(a: __m128, b: __m128) -> __m128 = _mm_add_ps(a, b);
        sub(a: __m128, b: __m128) -> __m128 = _mm_sub_ps(a, b);
        mul(a: __m128, b: __m128) -> __m128 = _mm_mul_ps(a, b);
        div(a: __m128, b: __m128) -> __m128 = _mm_div_ps(a, b);
        fma(a: __m128, b: __m128, c: __m128) -> __m128 = _mm_add_ps(_mm_mul_ps(a, b), c);
        sqrt(a: __m128) -> __m128 = _mm_sqrt_ps(a);
        at_least(x: __m128, c: __m128) -> __m128 = _mm_max_ps(c, x);
        at_most(x: __m128, c: __m128) -> __m128 = _mm_min_ps(c, x);
        exponent(t: __m128) -> __m128 = {
            let biased = _mm_add_epi32(_mm_castps_si128(t), _mm_set1_epi32(127));
            _mm_castsi128_ps(_mm_slli_epi32::<23>(biased))
        };
        eq(a: __m128, b: __m128) -> __m128 = _mm_cmpeq_ps(a, b);
        gt(a: __m128, b: __m128) -> __m128 = _mm_cmpgt_ps(a, b);
        both(a: __m128, b: __m128) -> __m128 = _mm_and_ps(a, b);
        keep(mask: __m128, x: __m128) -> __m128 = _mm_and_ps(mask, x);
        select(mask: __m128, a: __m128, b: __m128) -> __m128 =
            _mm_or_ps(_mm_and_ps(mask, a), _mm_andnot_ps(mask, b));
        zero_i32() -> __m128i = _mm_setzero_si128();
        to_bits(a: __m128) -> __m128i = _mm_castps_si128(a);
        to_float(a: __m128i) -> __m128 = _mm_cvtepi32_ps(a);
        dot_i16(a: __m128i, b: __m128i, acc: __m128i) -> __m128i = _mm_add_epi32(acc, _mm_madd_epi16(a, b));
        narrow(a: __m128i, b: __m128i) -> __m128i = {
            let low = |v| _mm_srai_epi32::<16>(_mm_slli_epi32::<16>(v));
            _mm_packs_epi32(low(a), low(b))
        };
    }
}
