//! The seeded random numbers: counter-based, so that all backends draw equal numbers for equal positions.
//!
//! `word(seed, stream, counter)` hashes its three arguments with the 32-bit finalizer "lowbias32"
//! (Wellons, "Prospecting for Hash Functions", 2018). It needs 32-bit multiplication only, so that WGSL can
//! compute it too; dropout masks are then equal on CPU and GPU. The generator is not for cryptography.

/// Mixes 32 bits so that each input bit changes each output bit with probability near one half.
#[inline(always)]
pub fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// Returns 32 random bits: the word at `counter` of the stream `stream` for the seed `seed`.
#[inline(always)]
pub fn word(seed: u32, stream: u32, counter: u32) -> u32 {
    mix(counter ^ mix(stream ^ mix(seed ^ 0x9e37_79b9)))
}

/// A sequence of random numbers: [`word`] with a running counter that starts at 1.
///
/// # Examples
/// ```
/// use convoke::rng::Rng;
/// let (mut a, mut b) = (Rng::new(7, 0), Rng::new(7, 0));
/// assert_eq!(a.word(), b.word());
/// assert!((0.0..1.0).contains(&a.uniform()));
/// assert!(a.below(10) < 10);
/// ```
#[derive(Clone, Debug)]
pub struct Rng {
    seed: u32,
    stream: u32,
    counter: u32,
}

impl Rng {
    /// Starts the stream `stream` for the seed `seed`. Streams of one seed are independent.
    pub fn new(seed: u32, stream: u32) -> Self {
        Rng { seed, stream, counter: 0 }
    }

    /// Draws 32 random bits.
    pub fn word(&mut self) -> u32 {
        self.counter = self.counter.wrapping_add(1);
        word(self.seed, self.stream, self.counter)
    }

    /// Draws uniformly from `[0, 1)`, in steps of 2^-24.
    pub fn uniform(&mut self) -> f32 {
        (self.word() >> 8) as f32 / (1 << 24) as f32
    }

    /// Draws uniformly from `[low, high)`.
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.uniform()
    }

    /// Draws from the standard normal distribution (Box and Muller, 1958).
    pub fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - f64::from(self.uniform())).ln()).sqrt();
        (radius * (std::f64::consts::TAU * f64::from(self.uniform())).cos()) as f32
    }

    /// Draws uniformly from `0..n`, for `n` of 1 to 2^32; returns 0 for `n` of 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((u64::from(self.word()) * n as u64) >> 32) as usize
    }

    /// Shuffles into a random order, all equally likely (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_numbers_and_streams_differ() {
        let draw = |seed, stream| {
            let mut rng = Rng::new(seed, stream);
            (0..64).map(|_| rng.word()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }

    #[test]
    fn normal_has_zero_mean_and_unit_variance() {
        let mut rng = Rng::new(7, 0);
        let x: Vec<f32> = (0..20_000).map(|_| rng.normal()).collect();
        let mean = x.iter().sum::<f32>() / x.len() as f32;
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / x.len() as f32;
        assert!(mean.abs() < 0.03, "mean {mean}");
        assert!((variance - 1.0).abs() < 0.03, "variance {variance}");
    }

    #[test]
    fn shuffle_is_a_permutation() {
        let mut items: Vec<usize> = (0..100).collect();
        Rng::new(3, 1).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
