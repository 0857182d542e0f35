//! When each step runs, and how long memory is needed for it.

use std::ops::Range;

use super::memory::{Buffer, largest_live};
use super::passes::Passes;
use crate::graph::Value;

/// What happens at one time of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Forward(usize),
    Losses,
    /// A step runs forward again, for values that were not kept.
    Recompute(usize),
    Backward(usize),
}

/// The order of a run. The input arrives at time 0, the events follow.
#[derive(Debug)]
pub(super) struct Schedule {
    training: bool,
    pub events: Vec<Event>,
    /// For each buffer of the passes, whether its values are dropped in the forward half and computed again, into a
    /// buffer of their own, for the backward half.
    pub dropped: Vec<bool>,
}

impl Schedule {
    /// A run that keeps every value that backward needs.
    pub(super) fn new(passes: &Passes, training: bool) -> Self {
        Self::in_segments(passes, training, &[])
    }

    /// A run that keeps only values that cross from one segment of steps to another, or that the last segment needs;
    /// segments begin at step 0 and at each of `starts`.
    pub(super) fn in_segments(passes: &Passes, training: bool, starts: &[usize]) -> Self {
        let mut events: Vec<Event> = (0..passes.steps.len()).map(Event::Forward).collect();
        events.push(Event::Losses);
        let dropped = dropped(passes, starts);
        if training {
            let mut end = passes.steps.len();
            for &start in starts.iter().rev().chain([&0]) {
                let backward = (start..end).rev().filter(|&i| passes.has_grad(passes.steps[i].output));
                events.extend(to_recompute(passes, &dropped, start..end).into_iter().map(Event::Recompute));
                events.extend(backward.map(Event::Backward));
                end = start;
            }
        }
        Schedule { training, events, dropped }
    }

    /// The buffer of a value that backward, or a step that runs again for it, reads or writes, with those of dropped
    /// values behind all others.
    pub(super) fn late(&self, buffer: usize) -> usize {
        if self.dropped[buffer] { self.dropped.len() + buffer } else { buffer }
    }

    /// Lifetimes of the buffers that hold values, then of those that hold dropped values again, then of the gradients.
    pub(super) fn lifetimes(&self, passes: &Passes, batch: usize) -> Vec<Buffer> {
        let count = passes.buffers.len();
        let mut buffers = vec![Buffer { floats: 0, first: usize::MAX, last: 0 }; 3 * count];
        let mut alive = |buffer: usize, time: usize| {
            buffers[buffer].floats = passes.buffers[buffer % count] * batch;
            buffers[buffer].alive_at(time);
        };
        let slot = |v: Value| passes.slot(v).map(|slot| slot.buffer);
        let values = |i: usize| passes.steps[i].inputs.iter().copied().chain([passes.steps[i].output]);
        alive(slot(Value::INPUT).expect("the input has a slot"), 0);
        for (time, event) in (1..).zip(&self.events) {
            match *event {
                Event::Forward(i) => values(i).filter_map(slot).for_each(|b| alive(b, time)),
                Event::Recompute(i) => values(i).filter_map(slot).for_each(|b| alive(self.late(b), time)),
                Event::Losses => {
                    for o in &passes.outputs {
                        let buffer = slot(o.value).expect("an output has a slot");
                        alive(buffer, time);
                        if self.training {
                            alive(2 * count + buffer, time);
                        }
                    }
                }
                Event::Backward(i) => {
                    for v in values(i) {
                        let Some(buffer) = slot(v) else { continue };
                        alive(self.late(buffer), time);
                        if passes.has_grad(v) {
                            alive(2 * count + buffer, time);
                        }
                    }
                }
            }
        }
        buffers
    }
}

/// Buffers that only steps of one segment, and not of the last, read and write.
fn dropped(passes: &Passes, starts: &[usize]) -> Vec<bool> {
    let segment = |step: usize| starts.partition_point(|&start| start <= step);
    let mut owner: Vec<Option<usize>> = vec![None; passes.buffers.len()];
    let mut kept = vec![false; passes.buffers.len()];
    for (i, step) in passes.steps.iter().enumerate() {
        for slot in step.inputs.iter().chain([&step.output]).filter_map(|&v| passes.slot(v)) {
            let segment = segment(i);
            kept[slot.buffer] |= segment == starts.len() || owner[slot.buffer].is_some_and(|own| own != segment);
            owner[slot.buffer] = Some(segment);
        }
    }
    for slot in passes.outputs.iter().map(|o| o.value).chain([Value::INPUT]).filter_map(|v| passes.slot(v)) {
        kept[slot.buffer] = true;
    }
    kept.iter().map(|kept| !kept).collect()
}

/// The steps of a segment that write dropped values which its backward half needs, in order.
fn to_recompute(passes: &Passes, dropped: &[bool], segment: Range<usize>) -> Vec<usize> {
    let buffers = |i: usize| {
        let step = &passes.steps[i];
        step.inputs.iter().chain([&step.output]).filter_map(|&v| passes.slot(v)).map(|slot| slot.buffer)
    };
    let writes = |i: usize| passes.slot(passes.steps[i].output).expect("a computed value has a slot").buffer;
    let mut needed = vec![false; passes.buffers.len()];
    for i in segment.clone().filter(|&i| passes.has_grad(passes.steps[i].output)) {
        buffers(i).for_each(|b| needed[b] = dropped[b]);
    }
    let mut recomputed = vec![];
    for i in segment.rev() {
        if needed[writes(i)] {
            buffers(i).for_each(|b| needed[b] = dropped[b]);
            recomputed.push(i);
        }
    }
    recomputed.reverse();
    recomputed
}

/// Of the schedules that drop values and compute them again, each step at most once (Chen et al., "Training Deep Nets with
/// Sublinear Memory Cost", 2016), and the one that keeps all, that with the fewest floats alive at once.
pub(super) fn smallest(passes: &Passes) -> Schedule {
    let segmented = (2..=MOST_SEGMENTS).map(|count| Schedule::in_segments(passes, true, &starts(passes, count)));
    let all = [Schedule::new(passes, true)].into_iter().chain(segmented);
    all.min_by_key(|schedule| largest_live(&schedule.lifetimes(passes, 1))).expect("there is at least one")
}

/// More gain nothing: with their number grows what is kept between them.
const MOST_SEGMENTS: usize = 16;

/// Where segments after the first begin, about as many as asked for: they write about equally much, and begin where little
/// crosses over.
fn starts(passes: &Passes, count: usize) -> Vec<usize> {
    let slot = |v: Value| passes.slot(v).expect("a computed value has a slot");
    // Floats that steps before each one have written, and those that it and later ones read of them.
    let (mut written, mut crossing) = (vec![0], vec![0; passes.steps.len()]);
    let mut known: Vec<Option<usize>> = vec![None; passes.buffers.len()];
    for (i, step) in passes.steps.iter().enumerate() {
        let output = slot(step.output);
        written.push(written[i] + output.c * output.h * output.w);
        for buffer in step.inputs.iter().chain([&step.output]).map(|&v| slot(v).buffer) {
            let last = known[buffer].replace(i).unwrap_or(i);
            crossing[last + 1..=i].iter_mut().for_each(|floats| *floats += passes.buffers[buffer]);
        }
    }
    let total = written[passes.steps.len()];
    let part = |j: usize| total * (2 * j - 1) / (2 * count)..total * (2 * j + 1) / (2 * count);
    let start =
        |j: usize| (1..passes.steps.len()).filter(|&i| part(j).contains(&written[i])).min_by_key(|&i| crossing[i]);
    let mut starts: Vec<usize> = (1..count).filter_map(start).collect();
    starts.dedup();
    starts
}
