//! Vectors of floats: one trait, one implementation for each instruction set, one place that chooses.
//!
//! A kernel is written once as a [`Kernel`], generic over [`Simd`]; [`dispatch`] runs it with the widest instruction set
//! there is: fixed at compile time on WebAssembly and aarch64, detected at run time on x86-64.

pub(crate) mod activation;
pub(crate) mod dispatch;
#[cfg(test)]
pub(crate) mod doubled;
pub(crate) mod isa;
pub(crate) mod map;
pub(crate) mod math;
#[cfg(target_arch = "aarch64")]
mod neon;
pub(crate) mod pointwise;
#[cfg(any(test, not(any(target_arch = "x86_64", target_arch = "aarch64", target_feature = "simd128"))))]
pub(crate) mod portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86;

pub(crate) use dispatch::{dispatch, has_exact_dot_u8, lanes, name, rows};
pub(crate) use isa::{Access, Kernel, MAGIC, MAX_LANES, MAX_ROWS, Part, Simd, Whole};
pub(crate) use map::{Lanewise, all_finite, map, map_raw, update};
