//! Calibration: the range of a layer's inputs, chosen from a histogram of their magnitudes on sample images.
//!
//! Quantized inputs are multiples of one step. A range that includes every outlier makes the step large, and a range that
//! is too small clips values. The methods differ in where they clip.

/// The number of bins of a histogram.
const BINS: usize = 2048;

/// The number of quantization levels with which the entropy is measured (as in TensorRT). With all 256, no range would seem
/// too large.
const LEVELS: usize = 128;

/// The method by which a range is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The largest magnitude that was seen.
    MinMax,
    /// The magnitude that one value of ten thousand exceeds.
    Percentile,
    /// The range with the least Kullback-Leibler divergence between the distributions of the values and of the quantized
    /// values (Migacz, "8-bit inference with TensorRT", 2017).
    Entropy,
}

impl Method {
    /// The fraction of values that [`Method::Percentile`] clips.
    const CUT: f64 = 1e-4;
}

/// The magnitudes of a layer's inputs, counted in 2048 bins of equal width.
///
/// # Examples
/// ```
/// use convoke::quant::{Histogram, Method};
/// let mut histogram = Histogram::default();
/// histogram.add(&[0.5, -2.0, 1.0]);
/// assert_eq!(histogram.range(Method::MinMax), Some(2.0));
/// assert_eq!(Histogram::default().range(Method::Entropy), None);
/// ```
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    /// The width of all bins together. Doubles when a value exceeds it.
    width: f32,
    largest: f32,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: vec![0; BINS], width: 0.0, largest: 0.0 }
    }
}

impl Histogram {
    /// Counts the magnitudes of all finite values but zeros, which are exact in any range.
    pub fn add(&mut self, values: &[f32]) {
        let largest = values.iter().filter(|v| v.is_finite()).fold(0.0f32, |m, v| m.max(v.abs()));
        self.largest = self.largest.max(largest);
        self.widen(largest);
        for v in values.iter().map(|v| v.abs()).filter(|v| v.is_finite() && *v > 0.0) {
            self.counts[((v / self.width * BINS as f32) as usize).min(BINS - 1)] += 1;
        }
    }

    fn widen(&mut self, largest: f32) {
        if self.width == 0.0 {
            self.width = largest;
        }
        while self.width < largest {
            self.width *= 2.0;
            self.counts = (0..BINS).map(|i| self.counts.get(2 * i..2 * i + 2).map_or(0, |c| c.iter().sum())).collect();
        }
    }

    /// Returns the range that `method` chooses, 1e-18 to 1e18; `None` when all values were zero, not finite, or outside those
    /// limits.
    pub fn range(&self, method: Method) -> Option<f32> {
        let end = |bins: usize| (self.width * bins as f32 / BINS as f32).min(self.largest);
        let range = match method {
            Method::MinMax => self.largest,
            Method::Percentile => end(self.percentile()),
            Method::Entropy => end(self.entropy()),
        };
        is_range(range).then_some(range)
    }

    /// Returns the number of bins beyond which at most the fraction [`Method::CUT`] of all values lies.
    fn percentile(&self) -> usize {
        let total: u64 = self.counts.iter().sum();
        let cut = (total as f64 * Method::CUT) as u64;
        let mut beyond = 0;
        (1..=BINS)
            .rev()
            .find(|&bins| {
                beyond += self.counts[bins - 1];
                beyond > cut
            })
            .unwrap_or(BINS)
    }

    /// Returns the number of bins with the least divergence.
    fn entropy(&self) -> usize {
        let total: u64 = self.counts.iter().sum();
        let mut beyond = total - self.counts[..LEVELS].iter().sum::<u64>();
        let mut best = (f64::INFINITY, BINS);
        for bins in LEVELS..=BINS {
            best = min(best, (divergence(&self.counts[..bins], beyond), bins));
            beyond -= self.counts.get(bins).copied().unwrap_or(0);
        }
        best.1
    }
}

fn min(a: (f64, usize), b: (f64, usize)) -> (f64, usize) {
    // Among equals the larger range.
    if b.0 <= a.0 { b } else { a }
}

/// Returns the divergence between the distribution of values, with the `beyond` clipped ones in the last bin, and of their
/// quantized versions, which spread the values of a level evenly over those of its bins that were not empty. Divergences of
/// different ranges can be compared.
fn divergence(counts: &[u64], beyond: u64) -> f64 {
    let last = counts.len() - 1;
    let cut = |i: usize| counts[i] as f64 + if i == last { beyond as f64 } else { 0.0 };
    let total: f64 = (0..=last).map(cut).sum();
    let inside = total - beyond as f64;
    let mut sum = 0.0;
    for level in 0..LEVELS {
        let bins = level * counts.len() / LEVELS..(level + 1) * counts.len() / LEVELS;
        let filled = bins.clone().filter(|&i| counts[i] > 0).count();
        let even = counts[bins.clone()].iter().sum::<u64>() as f64 / filled.max(1) as f64 / inside.max(1.0);
        for i in bins {
            let p = cut(i) / total.max(1.0);
            // A bin that holds only clipped values is empty in the quantized distribution.
            let q = if counts[i] > 0 { even } else { f64::MIN_POSITIVE };
            if p > 0.0 {
                sum += p * (p / q).ln();
            }
        }
    }
    sum
}

/// Returns whether `range` can be a range: the step and its inverse must be normal numbers with room to spare.
pub(crate) fn is_range(range: f32) -> bool {
    (1e-18..=1e18).contains(&range)
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn normal(n: usize) -> Vec<f32> {
        let mut rng = Rng::new(5, 5);
        (0..n).map(|_| rng.normal()).collect()
    }

    #[test]
    fn methods_cut_where_they_say() {
        let mut values = normal(100_000);
        values.push(-400.0);
        let mut histogram = Histogram::default();
        // In parts, so that the histogram must widen.
        values.chunks(1000).for_each(|part| histogram.add(part));
        let range = |method| histogram.range(method).unwrap();
        assert_eq!(range(Method::MinMax), 400.0);
        // One of ten thousand is beyond 3.89 standard deviations; bins are wide beside the stray value.
        assert!((3.4..4.5).contains(&range(Method::Percentile)), "{}", range(Method::Percentile));
        assert!(range(Method::Entropy) < 40.0, "{}", range(Method::Entropy));
    }

    #[test]
    fn evenly_spread_values_are_kept_whole() {
        let mut histogram = Histogram::default();
        histogram.add(&(0..100_000).map(|i| i as f32 * 1e-5).collect::<Vec<_>>());
        for method in [Method::MinMax, Method::Percentile, Method::Entropy] {
            let range = histogram.range(method).unwrap();
            assert!((0.97..=1.0).contains(&range), "{method:?}: {range}");
        }
    }

    #[test]
    fn nothing_has_no_range() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.range(Method::MinMax), None);
        histogram.add(&[0.0, -0.0, f32::NAN, f32::INFINITY]);
        for method in [Method::MinMax, Method::Percentile, Method::Entropy] {
            assert_eq!(histogram.range(method), None);
        }
    }
}
