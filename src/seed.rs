//! Seeds for runs that nobody gave one: drawn from the machine's own random numbers, and told, so that the run can be
//! repeated.

use crate::error::{Error, Result};

/// Draws a seed, uniform over all 32-bit numbers.
///
/// # Errors
/// [`Error::Argument`] where the machine offers no random numbers: give a seed there.
pub fn draw() -> Result<u32> {
    let mut bytes = [0; 4];
    let failed = |e| Error::argument("seed", "a number, as this machine draws none", e);
    getrandom::fill(&mut bytes).map_err(failed)?;
    Ok(u32::from_le_bytes(bytes))
}
