//! The choice among instruction sets: fixed at compile time on WebAssembly and aarch64, detected at run time on x86-64.

use super::isa::{Kernel, MAX_LANES, Simd};

#[cfg(target_arch = "x86_64")]
mod choose {
    use crate::cpu::simd::isa::Kernel;
    use crate::cpu::simd::x86;

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
    pub(crate) unsafe fn dispatch<K: Kernel>(kernel: K) -> K::Output {
        // SAFETY: the instruction set was detected; the rest is the caller's promise.
        unsafe { if wide() { avx2(kernel) } else { sse(kernel) } }
    }

    pub(crate) fn lanes() -> usize {
        if wide() { 8 } else { 4 }
    }

    pub(crate) fn rows() -> usize {
        if wide() { 6 } else { 4 }
    }

    pub(crate) fn name() -> &'static str {
        if wide() { "avx2+fma" } else { "sse" }
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
    /// As the kernel's documentation asks for.
    #[inline(never)]
    #[cfg_attr(optimize_attribute, optimize(speed))]
    pub(crate) unsafe fn dispatch<K: Kernel>(kernel: K) -> K::Output {
        // SAFETY: the only instruction set of this build; the rest is the caller's promise.
        unsafe { kernel.run::<Only>() }
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

/// Whether four bytes without a sign are multiplied with four that have one exactly, at once. WebAssembly leaves open what
/// its relaxed product does with bytes of more than 7 bits; processors that have the instruction (AVX-VNNI) do it right, and
/// others say otherwise here.
pub(crate) fn quads() -> bool {
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
