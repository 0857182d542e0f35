//! The CPU engine: SIMD kernels that execute a plan, forward and backward.
