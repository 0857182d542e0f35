//! Networks as data: named layers over named values, and their parameters.
//!
//! A [`Graph`] is validated once and then read-only; [`Params`] holds the values of its parameters. [`mod@reference`] runs both
//! by the layers' formulas in double precision.

mod batch;
mod builder;
mod cost;
mod file;
mod init;
mod names;
mod network;
mod node;
mod output_kind;
mod param;
mod params;
pub(crate) mod reachable;
pub mod reference;
pub(crate) mod value_range;

pub use builder::Builder;
pub use cost::Cost;
pub use file::GRAPH_VERSION;
pub use init::Init;
pub(crate) use names::first_duplicate;
pub use network::{Graph, MAX_NODES};
pub use node::{INPUT, Node, Output, Value};
pub use output_kind::OutputKind;
pub use param::{Param, ReadParam};
pub use params::{Params, Ranges, Tensors};
