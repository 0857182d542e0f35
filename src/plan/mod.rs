//! Execution plans: the steps of a graph, their order, and their places in one arena. All engines execute the same plan.
//!
//! Planning drops steps that need not run (dead nodes; dropout at inference; flatten where the next linear layer can read
//! the feature map in its own order), fuses activations and, at inference, residual sums into the layer before them,
//! writes branches straight into their concatenation, and lets values share memory when they are not alive at once.
//!
//! [`rewrite`] changes the graph before planning; [`Optimizer`] is the update at the end of a training step.

mod build;
mod memory;
mod optimizer;
mod passes;
mod purpose;
pub mod rewrite;
mod schedule;
mod step;
mod train_settings;
mod view;

pub use build::Plan;
pub use optimizer::{OPTIMIZERS, Optimizer, StepReport, Update, check_clip_norm, clip_factor};
pub use purpose::Purpose;
pub use step::{BackwardStep, GradWrite, Head, Step};
pub(crate) use train_settings::{TrainSettings, are_answers, check_batch_size};
pub use view::View;

#[cfg(test)]
mod tests;
