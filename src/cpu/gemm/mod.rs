//! Matrix multiplication in floats and in integers, and what surrounds it: packed panels, the ends of sums, gradients.

pub(crate) mod dequant;
pub(crate) mod driver;
pub(crate) mod epilogue;
pub(crate) mod f32;
pub(crate) mod gradient;
pub(crate) mod int8;
pub(crate) mod layout;
pub(crate) mod panels;
pub(crate) mod repack;
#[cfg(test)]
mod testing;
pub(crate) mod weights;
