//! Operators as layers of the graph: the handlers of nodes whose inputs the network computes. A handler carries the
//! name of its operator in snake case.

pub mod activation;
mod compose;
pub mod conv;
pub mod elementwise;
pub mod gemm;
pub mod movement;
pub mod norm;
pub mod pad;
pub mod pool;
pub mod quantize;
pub mod reduce;
pub mod transpose;
mod window;
