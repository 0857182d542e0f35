//! Training: data sets, augmentation, schedules, the loop around an engine, and new heads for trained networks.

mod augment;
mod checkpoint;
mod config;
mod dataset;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod documentation;
mod groups;
mod metrics;
mod run;
mod schedule;
mod session;
mod trainer;
pub mod transfer;

pub use augment::{AUGMENTATION, Augmentation, Transform};
pub use checkpoint::Checkpoint;
pub use config::{Config, TRAINING};
pub use dataset::{Dataset, Variation};
pub use groups::{GROUP, Group};
pub use metrics::{Evaluation, Metrics, evaluate};
pub use run::{Progress, Run, RunStep};
pub use schedule::{SCHEDULES, Schedule};
pub(crate) use session::check_memory;
pub use session::{Images, Interrupted, Role, Session};
pub use trainer::{Report, Trainer};
