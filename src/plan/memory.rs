//! The memory plan: buffers with lifetimes, fitted into one arena.

/// The alignment of all buffers in floats: 256 bytes, WebGPU's alignment and a multiple of a cache line.
pub(super) const ALIGN: usize = 64;

/// A buffer in the arena that is needed from time `first` to time `last`, inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ArenaBuffer {
    pub floats: usize,
    pub first: usize,
    pub last: usize,
}

impl ArenaBuffer {
    /// Extends the lifetime to include `time`.
    pub(super) fn alive_at(&mut self, time: usize) {
        self.first = self.first.min(time);
        self.last = self.last.max(time);
    }

    fn overlaps(&self, other: &ArenaBuffer) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// The offsets of all buffers, in floats.
pub(super) struct ArenaLayout {
    pub offsets: Vec<usize>,
    pub size: usize,
    pub largest_live: usize,
}

/// Assigns offsets greedily by size (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020):
/// from the largest buffer to the smallest, each at the lowest offset that is free while it is alive. Among equally large
/// buffers the earlier comes first, so that the branches of a residual network leave no gaps.
pub(super) fn allocate(buffers: &[ArenaBuffer]) -> ArenaLayout {
    let mut order: Vec<usize> = (0..buffers.len()).filter(|&i| buffers[i].floats > 0).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(buffers[i].floats), buffers[i].first));
    let mut offsets = vec![0; buffers.len()];
    let mut placed: Vec<usize> = vec![];
    let mut size = 0;
    for &i in &order {
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|&&j| buffers[j].overlaps(&buffers[i]))
            .map(|&j| (offsets[j], offsets[j] + buffers[j].floats))
            .collect();
        taken.sort_unstable();
        let mut offset = 0usize;
        for (start, end) in taken {
            if offset + buffers[i].floats <= start {
                break;
            }
            offset = offset.max(end.next_multiple_of(ALIGN));
        }
        offsets[i] = offset;
        size = size.max(offset + buffers[i].floats);
        placed.push(i);
    }
    ArenaLayout { offsets, size, largest_live: largest_live(buffers) }
}

/// Returns the largest number of floats that are alive at one time.
pub(super) fn largest_live(buffers: &[ArenaBuffer]) -> usize {
    let alive = |t: usize| buffers.iter().filter(|b| b.first <= t && t <= b.last).map(|b| b.floats).sum();
    buffers.iter().map(|b| alive(b.first)).max().unwrap_or(0)
}

// The browser runs the shared suite, not the unit tests.
#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn buffers_alive_at_once_never_share_memory(raw in proptest::collection::vec((1usize..5000, 0usize..40, 0usize..10), 1..60)) {
            let buffers: Vec<ArenaBuffer> =
                raw.iter().map(|&(floats, first, len)| ArenaBuffer { floats, first, last: first + len }).collect();
            let layout = allocate(&buffers);
            for (i, a) in buffers.iter().enumerate() {
                prop_assert_eq!(layout.offsets[i] % ALIGN, 0);
                prop_assert!(layout.offsets[i] + a.floats <= layout.size);
                for (j, b) in buffers.iter().enumerate().skip(i + 1) {
                    let apart = layout.offsets[i] + a.floats <= layout.offsets[j] || layout.offsets[j] + b.floats <= layout.offsets[i];
                    prop_assert!(apart || !a.overlaps(b));
                }
            }
            prop_assert!(layout.size >= layout.largest_live);
        }
    }
}
