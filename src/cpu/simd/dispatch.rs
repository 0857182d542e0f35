//! The choice among instruction sets: fixed at compile time on WebAssembly and aarch64, detected at run time on x86-64.

use super::isa::{Kernel, MAX_LANES, Simd};

#[cfg(target_arch = "x86_64")]
mod choose {
    #[cfg(test)]
    use crate::cpu::simd::doubled::{self, Doubled};
    use crate::cpu::simd::isa::{Kernel, Simd};
    use crate::cpu::simd::x86::{Avx2, Sse};

    #[target_feature(enable = "avx2,fma")]
    #[inline(never)]
    unsafe fn on_avx2<K: Kernel>(kernel: K, s: Avx2) -> K::Output {
        // SAFETY: the kernel's fields keep what its documentation asks for.
        unsafe { kernel.run(s) }
    }

    #[inline(never)]
    unsafe fn on_sse<K: Kernel>(kernel: K) -> K::Output {
        // SAFETY: the kernel's fields keep what its documentation asks for.
        unsafe { kernel.run(Sse) }
    }

    /// Runs a kernel on this machine's instruction set.
    ///
    /// # Safety
    /// The kernel's fields must satisfy the requirements of its documentation.
    #[inline(always)]
    pub(crate) unsafe fn dispatch<K: Kernel>(kernel: K) -> K::Output {
        // SAFETY: `Avx2` was detected, so its features are there; the kernel's fields keep what its documentation asks for.
        unsafe {
            #[cfg(test)]
            if doubled::forced() && lanes() == Doubled::<Sse>::LANES {
                return kernel.run(Doubled(Sse));
            }
            match Avx2::detect() {
                Some(s) => on_avx2(kernel, s),
                None => on_sse(kernel),
            }
        }
    }

    pub(crate) fn lanes() -> usize {
        Avx2::detect().map_or(Sse::LANES, |_| Avx2::LANES)
    }

    pub(crate) fn rows() -> usize {
        Avx2::detect().map_or(Sse::ROWS, |_| Avx2::ROWS)
    }

    pub(crate) fn name() -> &'static str {
        Avx2::detect().map_or("sse", |_| "avx2+fma")
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod choose {
    use crate::cpu::simd::isa::{Kernel, Simd};
    #[cfg(target_arch = "aarch64")]
    use crate::cpu::simd::neon::Neon as Only;
    #[cfg(not(any(target_arch = "aarch64", all(target_arch = "wasm32", target_feature = "simd128"))))]
    use crate::cpu::simd::portable::Portable as Only;
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    use crate::cpu::simd::wasm::Simd128 as Only;

    /// Runs a kernel on this machine's instruction set. Never inlined: browsers optimize small functions sooner.
    ///
    /// # Safety
    /// The kernel's fields must satisfy the requirements of its documentation.
    #[inline(never)]
    pub(crate) unsafe fn dispatch<K: Kernel>(kernel: K) -> K::Output {
        // SAFETY: the kernel's fields keep what its documentation asks for.
        unsafe { kernel.run(Only) }
    }

    pub(crate) fn lanes() -> usize {
        Only::LANES
    }

    pub(crate) fn rows() -> usize {
        Only::ROWS
    }

    pub(crate) fn name() -> &'static str {
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

pub(crate) use choose::{dispatch, lanes, name, rows};

/// True if [`Simd::dot_u8`] is available and exact. WebAssembly leaves open how its relaxed product reads bytes of more than 7
/// bits; processors that have the instruction (AVX-VNNI) compute it exactly, and a probe of the largest sums finds out.
pub(crate) fn has_exact_dot_u8() -> bool {
    static EXACT: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    // SAFETY: the kernel only accesses memory of its own.
    *EXACT.get_or_init(|| unsafe { dispatch(Probe) })
}

struct Probe;

impl Kernel for Probe {
    type Output = bool;

    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S) -> bool {
        if !S::DOT_U8 {
            return false;
        }
        // Saturation, or a sign bit read otherwise, gives other sums than these, the largest of either sign.
        let (a, up, down) = ([-1i8; 4], [127i8; 4], [-127i8; 4]);
        let mut sums = [0i32; 2 * MAX_LANES];
        // SAFETY: four bytes are read at a time; the array holds two vectors.
        unsafe {
            for (i, b) in [up, down].iter().enumerate() {
                let sum = s.dot_u8(s.splat_i8(&a), s.splat_i8(b), s.zero_i32());
                s.store_i32(sums.as_mut_ptr().add(i * S::LANES), sum);
            }
        }
        let (up, down) = sums[..2 * S::LANES].split_at(S::LANES);
        up.iter().all(|&s| s == 4 * 255 * 127) && down.iter().all(|&s| s == -4 * 255 * 127)
    }
}
