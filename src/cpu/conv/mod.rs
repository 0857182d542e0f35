//! Convolutions and linear layers: one file for each algorithm, the choice among them, and the packing of their weights.

pub(crate) mod conv2d;
pub(crate) mod depthwise;
pub(crate) mod direct;
pub(crate) mod geometry;
pub(crate) mod im2col;
pub(crate) mod int8;
pub(crate) mod linear;
pub(crate) mod packing;
pub(crate) mod select;
pub(crate) mod winograd;
