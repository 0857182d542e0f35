//! How much memory a run may take: asked before it is taken.

use convoke::{Error, Result};
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// How much memory a run may take.
#[derive(clap::Args)]
pub struct Args {
    /// The most memory to take, in bytes or with K, M or G behind the number: a run that needs more is refused before it
    /// starts [default: the available memory].
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<u64>,
}

/// The memory that a run may still take, in bytes.
pub struct Budget(u64);

impl Args {
    /// Returns the whole budget, of which nothing is taken yet.
    pub fn budget(&self) -> Budget {
        Budget(self.memory.unwrap_or_else(available))
    }
}

impl Budget {
    /// Returns the bytes that are still free.
    pub fn left(&self) -> u64 {
        self.0
    }

    /// Sets `bytes` aside.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when fewer are left.
    pub fn take(&mut self, what: impl std::fmt::Display, bytes: u64) -> Result<()> {
        let Some(left) = self.0.checked_sub(bytes) else {
            return Err(Error::TooLarge { what: format!("bytes of memory for {what}"), actual: bytes, limit: self.0 });
        };
        self.0 = left;
        Ok(())
    }
}

/// What new allocations can have without swapping: of the machine, and of the control group that the process is in.
/// Without a limit where the system does not say.
fn available() -> u64 {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    System::new_with_specifics(memory).map_or(u64::MAX, |system| {
        let group = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
        system.available_memory().min(group)
    })
}

fn size(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(end) => text.split_at(end),
        None => (text, ""),
    };
    let shift = match unit {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => return Err(format!("{unit}: expected K, M, G or nothing behind the number")),
    };
    let number: u64 = digits.parse().map_err(|e| format!("{digits}: {e}"))?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("{text}: expected less than 2^64 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        let sizes = ["7", "3K", "512M", "4G"].map(|text| size(text).unwrap());
        assert_eq!(sizes, [7, 3 << 10, 512 << 20, 4 << 30]);
        for wrong in ["", "G", "-1", "4T", "1.5G", "99999999999G", "99999999999999999999"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_budget_ends() {
        let mut budget = Args { memory: Some(100) }.budget();
        budget.take("a", 60).unwrap();
        let error = budget.take("b", 60).unwrap_err();
        assert_eq!(error.to_string(), "bytes of memory for b: 60 exceeds the limit of 40");
        budget.take("c", 40).unwrap();
        assert!(Args { memory: None }.budget().0 > 0, "this machine has memory");
    }
}
