//! How a command ends.

use convoke::Error;

/// Why a command ended early.
pub enum Failure {
    /// The arguments contradict each other or the files: exit status 2, as for an argument that clap refuses.
    Usage(Error),
    /// The command failed: exit status 1.
    Failed(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Failed(error)
    }
}

/// The result of a command.
pub type Outcome<T = ()> = Result<T, Failure>;
