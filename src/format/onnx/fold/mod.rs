//! Operators whose inputs are all constants, computed while reading: shape arithmetic, and weights that a converter
//! leaves to be computed. Each handler follows the formula of its operator, without regard to speed; the cost of
//! hostile files is limited by [`GraphBuilder::charge`](super::builder::GraphBuilder::charge).

pub mod elementwise;
pub mod gemm;
pub mod generate;
pub mod movement;
pub mod norm;
pub mod pool;
pub mod quantize;
pub mod reduce;
