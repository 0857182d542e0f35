//! Learning-rate schedules.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::options::{self, KindSpec, OptionSpec, Range};

/// A factor on the learning rate, as a function of the epochs done. Epochs are counted in fractions, so that a batch
/// size edited while running changes nothing.
///
/// In JSON an object whose `kind` is `constant`, `cosine`, `step` or `one-cycle`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// The factor is 1 throughout.
    #[default]
    Constant,
    /// Half a cosine from 1 down to `floor` at the end of the run (Loshchilov and Hutter, 2017).
    Cosine {
        /// The factor at the end, 0 to 1. Default 0.
        #[serde(default)]
        floor: f32,
    },
    /// The factor is multiplied by `gamma` after every `every` epochs.
    Step {
        /// Epochs between two steps, 0.001 to 1,000,000.
        every: f32,
        /// The factor of one step, 0 to 1.
        gamma: f32,
    },
    /// Half a cosine from `start` up to 1, then another down to `floor` at the end of the run (Smith and Topin, 2018).
    OneCycle {
        /// The part of the run that rises, 0 to 0.99. Default 0.3.
        #[serde(default = "rise")]
        rise: f32,
        /// The factor at the beginning, 0 to 1. Default 1/25.
        #[serde(default = "start")]
        start: f32,
        /// The factor at the end, 0 to 1. Default 1/250,000.
        #[serde(default = "floor")]
        floor: f32,
    },
}

const fn rise() -> f32 {
    0.3
}

const fn start() -> f32 {
    0.04
}

const fn floor() -> f32 {
    4e-6
}

const FLOOR: OptionSpec = OptionSpec::new("floor", Range::Within(0.0, 1.0), "The factor at the end of the run.");

/// The schedules' options.
pub const SCHEDULES: Range = Range::OneOf(&[
    KindSpec { name: "constant", about: "The learning rate stays as it is.", options: &[] },
    KindSpec {
        name: "cosine",
        about: "Half a cosine from 1 down to `floor` at the end of the run.",
        options: &[FLOOR],
    },
    KindSpec {
        name: "step",
        about: "The factor is multiplied by `gamma` after every `every` epochs.",
        options: &[
            OptionSpec::new("every", Range::Within(1e-3, 1e6), "Epochs between two steps."),
            OptionSpec::new("gamma", Range::Within(0.0, 1.0), "The factor of one step."),
        ],
    },
    KindSpec {
        name: "one-cycle",
        about: "Half a cosine from `start` up to 1 over `rise` of the run, then another down to `floor`.",
        options: &[
            OptionSpec::new("rise", Range::Within(0.0, 0.99), "The part of the run that rises."),
            OptionSpec::new("start", Range::Within(0.0, 1.0), "The factor at the beginning."),
            FLOOR,
        ],
    },
]);

/// Half a cosine between two values; `part` goes from 0 to 1 and stays there.
fn half_cosine(from: f32, to: f32, part: f32) -> f32 {
    let part = f64::from(part.clamp(0.0, 1.0));
    to + (from - to) * (0.5 * (1.0 + (std::f64::consts::PI * part).cos())) as f32
}

impl Schedule {
    /// One cycle with its usual constants.
    pub const ONE_CYCLE: Schedule = Schedule::OneCycle { rise: rise(), start: start(), floor: floor() };

    /// The factor when `done` epochs of a run of `epochs` are done. Over the first `warmup` epochs it rises from 0 in
    /// proportion (Goyal et al., 2017), and the schedule has the rest of the run.
    pub fn factor(&self, done: f32, epochs: f32, warmup: f32) -> f32 {
        let (done, epochs) = (done - warmup, (epochs - warmup).max(f32::MIN_POSITIVE));
        if done < 0.0 { self.at(0.0, epochs) * (1.0 + done / warmup) } else { self.at(done, epochs) }
    }

    fn at(&self, done: f32, epochs: f32) -> f32 {
        let part = done / epochs;
        match *self {
            Schedule::Constant => 1.0,
            Schedule::Cosine { floor } => half_cosine(1.0, floor, part),
            Schedule::Step { every, gamma } => gamma.powi((done / every) as i32),
            Schedule::OneCycle { rise, start, .. } if part < rise => half_cosine(start, 1.0, part / rise),
            Schedule::OneCycle { rise, floor, .. } => half_cosine(1.0, floor, (part - rise) / (1.0 - rise)),
        }
    }

    /// Checks the options.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] for values outside their ranges.
    pub fn validate(&self) -> Result<()> {
        options::validate("schedule", self, SCHEDULES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_warms_up_peaks_and_ends_at_its_floor() {
        let s = Schedule::Cosine { floor: 0.1 };
        let at = |done| s.factor(done, 10.0, 2.0);
        assert_eq!([at(0.0), at(1.0), at(2.0)], [0.0, 0.5, 1.0]);
        assert!((at(6.0) - 0.55).abs() < 1e-6);
        assert!((at(10.0) - 0.1).abs() < 1e-6 && (at(99.0) - 0.1).abs() < 1e-6);
    }

    #[test]
    fn steps_fall_at_their_epochs_counted_from_the_end_of_the_warm_up() {
        let s = Schedule::Step { every: 3.0, gamma: 0.1 };
        assert_eq!([s.factor(2.99, 9.0, 0.0), s.factor(3.0, 9.0, 0.0)], [1.0, 0.1]);
        assert_eq!([s.factor(0.5, 9.0, 2.0), s.factor(4.99, 9.0, 2.0), s.factor(5.0, 9.0, 2.0)], [0.25, 1.0, 0.1]);
        assert_eq!([Schedule::Constant.factor(0.25, 9.0, 1.0), Schedule::Constant.factor(1.0, 9.0, 1.0)], [0.25, 1.0]);
        assert!(Schedule::Step { every: 0.0, gamma: 0.1 }.validate().is_err());
        assert!(Schedule::Cosine { floor: f32::NAN }.validate().is_err());
        assert!(Schedule::OneCycle { rise: 1.0, start: 0.1, floor: 0.0 }.validate().is_err());
    }

    #[test]
    fn one_cycle_is_pytorchs() {
        // torch.optim.lr_scheduler.OneCycleLR with max_lr=1 and its other defaults, by its own formula: its first phase
        // ends at step 0.3 * total - 1, its last at step total - 1.
        let pytorch = |step: f64, total: f64| {
            let (first, last) = (0.3 * total - 1.0, total - 1.0);
            let anneal = |a: f64, b: f64, p: f64| b + (a - b) / 2.0 * ((std::f64::consts::PI * p).cos() + 1.0);
            if step <= first {
                anneal(1.0 / 25.0, 1.0, step / first)
            } else {
                anneal(1.0, 1.0 / 25.0 / 1e4, (step - first) / (last - first))
            }
        };
        let total = 1e6;
        for step in [0.0, 1e5, 2.5e5, 3e5, 5e5, 9e5, 1e6 - 1.0] {
            let (got, want) = (Schedule::ONE_CYCLE.factor(step as f32, total as f32, 0.0), pytorch(step, total));
            assert!((f64::from(got) - want).abs() < 1e-5, "{got} instead of {want} at {step}");
        }
    }
}
