//! How the step size changes over a run.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A factor on the learning rate, as a function of the epochs done. Epochs are counted in fractions, so that a batch
/// size edited while running changes nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Schedule {
    /// 1.
    #[default]
    Constant,
    /// Linear from 0 to 1 over `warmup` epochs, then half a cosine down to `floor` at the end of the run (Loshchilov
    /// and Hutter, 2017).
    Cosine {
        /// Epochs.
        #[serde(default)]
        warmup: f32,
        /// The factor at the end, 0 to 1.
        #[serde(default)]
        floor: f32,
    },
    /// Times `gamma` after every `every` epochs.
    Step {
        /// Epochs.
        every: f32,
        /// 0 to 1.
        gamma: f32,
    },
}

impl Schedule {
    /// The factor when `done` epochs of a run of `epochs` are done.
    pub fn factor(&self, done: f32, epochs: f32) -> f32 {
        match *self {
            Schedule::Constant => 1.0,
            Schedule::Cosine { warmup, .. } if done < warmup => done / warmup,
            Schedule::Cosine { warmup, floor } => {
                let span = (epochs - warmup).max(f32::MIN_POSITIVE);
                let done = f64::from(((done - warmup) / span).clamp(0.0, 1.0));
                floor + (1.0 - floor) * (0.5 * (1.0 + (std::f64::consts::PI * done).cos())) as f32
            }
            Schedule::Step { every, gamma } => gamma.powi((done / every) as i32),
        }
    }

    /// # Errors
    /// [`Error::Argument`] for values outside their ranges.
    pub fn validate(&self) -> Result<()> {
        let within = |name: &str, v: f32, low: f32, high: f32| {
            let ok = (low..=high).contains(&v);
            if ok { Ok(()) } else { Err(Error::argument(name, format!("{low} to {high}"), v)) }
        };
        match *self {
            Schedule::Constant => Ok(()),
            Schedule::Cosine { warmup, floor } => {
                within("warmup", warmup, 0.0, 1e6)?;
                within("floor", floor, 0.0, 1.0)
            }
            Schedule::Step { every, gamma } => {
                within("every", every, 1e-3, 1e6)?;
                within("gamma", gamma, 0.0, 1.0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_warms_up_peaks_and_ends_at_its_floor() {
        let s = Schedule::Cosine { warmup: 2.0, floor: 0.1 };
        let at = |done| s.factor(done, 10.0);
        assert_eq!([at(0.0), at(1.0), at(2.0)], [0.0, 0.5, 1.0]);
        assert!((at(6.0) - 0.55).abs() < 1e-6);
        assert!((at(10.0) - 0.1).abs() < 1e-6 && (at(99.0) - 0.1).abs() < 1e-6);
    }

    #[test]
    fn steps_fall_at_their_epochs() {
        let s = Schedule::Step { every: 3.0, gamma: 0.1 };
        assert_eq!([s.factor(2.99, 9.0), s.factor(3.0, 9.0)], [1.0, 0.1]);
        assert!(Schedule::Step { every: 0.0, gamma: 0.1 }.validate().is_err());
        assert!(Schedule::Cosine { warmup: f32::NAN, floor: 0.0 }.validate().is_err());
    }
}
