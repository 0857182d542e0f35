//! How a graph runs: which steps, in which order, on which part of one arena. Every engine executes the same plan.
//!
//! Planning drops what need not run (dead nodes; dropout at inference; flatten where the next linear layer can read
//! the map as it lies), fuses activations and, at inference, residual sums into the layer before them, writes branches straight into their
//! concatenation, and lets values share memory when they are not alive at once.

mod memory;
mod optimizer;
mod passes;
pub mod rewrite;

pub use optimizer::{Optimizer, StepReport, Update, check_clip_norm, clip_factor};

use crate::graph::{Graph, Value};
use crate::layers::Activation;
use memory::{Buffer, allocate};
use passes::Passes;

/// Where a value lies in the arena: NHWC, `pitch` floats from one pixel to the next. A value that is a branch of a
/// concatenation has a pitch wider than its channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// First float in the arena.
    pub offset: usize,
    /// Floats from one pixel to the next.
    pub pitch: usize,
    /// Channels.
    pub c: usize,
    /// Height.
    pub h: usize,
    /// Width.
    pub w: usize,
}

impl Place {
    /// Pixels in a batch of `n`.
    pub fn pixels(&self, n: usize) -> usize {
        n * self.h * self.w
    }

    /// Floats from its first to one past its last, for a batch of `n`.
    pub fn span(&self, n: usize) -> usize {
        (self.pixels(n) - 1) * self.pitch + self.c
    }

    /// The value alone, from its whole span.
    pub(crate) fn gather(&self, span: &[f32]) -> Vec<f32> {
        span.chunks(self.pitch).flat_map(|pixel| &pixel[..self.c]).copied().collect()
    }
}

/// One forward operation: the layer of `node`, then `activation`.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Index into the graph's nodes.
    pub node: usize,
    /// What it reads. A concatenation reads only the inputs that do not already lie in place; what a convolution reads
    /// second is added to its result, before the activation.
    pub inputs: Vec<Place>,
    /// For a concatenation, the first channel of each of `inputs` in the output.
    pub channels: Vec<usize>,
    /// What it writes.
    pub output: Place,
    /// Applied to the output as it is written.
    pub activation: Option<Activation>,
    /// In training, whether its parameters stay as they are: a batch normalisation then uses its running statistics.
    pub frozen: bool,
}

/// Where a backward operation writes the gradient of one input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GradWrite {
    /// The input's gradient.
    pub place: Place,
    /// Add to what is there (the value has another reader, whose backward ran before).
    pub accumulate: bool,
}

/// One backward operation: that of `steps[step]`. If the step has a fused activation, `dy` is first multiplied, in
/// place, by the activation's derivative.
#[derive(Debug, Clone, PartialEq)]
pub struct BackwardStep {
    /// Index into [`Plan::steps`].
    pub step: usize,
    /// Gradients to clear before this step, because several writers will add to parts of them.
    pub clear: Vec<Place>,
    /// The gradient of the step's output.
    pub dy: Place,
    /// For each input of the step, where its gradient goes; `None` for the network's input.
    pub dx: Vec<Option<GradWrite>>,
}

/// An output of the network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Head {
    /// The value in the graph.
    pub value: Value,
    /// Where it lies.
    pub place: Place,
    /// Where the loss writes its gradient (overwriting); `None` at inference.
    pub grad: Option<Place>,
    /// Its weight in the loss.
    pub loss_weight: f32,
}

/// How a graph runs for one batch size.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Samples per run.
    pub batch: usize,
    /// Forward operations in order.
    pub steps: Vec<Step>,
    /// Gradients to clear before the losses write theirs.
    pub clear: Vec<Place>,
    /// Backward operations in order; empty at inference.
    pub backward: Vec<BackwardStep>,
    /// Where the input batch goes.
    pub input: Place,
    /// The outputs, the main one first; at inference only that one.
    pub heads: Vec<Head>,
    /// Where the gradient of the input batch goes, when that was asked for.
    pub input_grad: Option<Place>,
    /// Floats in the arena.
    pub arena: usize,
    /// Floats alive at once where that is largest: no plan can need less.
    pub largest_live: usize,
    places: Vec<Option<Place>>,
}

/// What a plan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Classifying: memory is reused as soon as a value has no reader left; only the main output is computed.
    Inference,
    /// A training step: every value is kept until its gradient is done; auxiliary heads are computed too.
    Training {
        /// Whether the gradient of the network's input is wanted.
        input_grad: bool,
    },
}

impl Purpose {
    fn is_training(self) -> bool {
        self != Purpose::Inference
    }
}

impl Plan {
    /// How `graph` runs on `batch` samples at once.
    pub fn new(graph: &Graph, batch: usize, purpose: Purpose) -> Self {
        Self::with_frozen(graph, batch, purpose, &vec![false; graph.nodes().len()])
    }

    /// The same where the parameters of some nodes stay as they are: gradients are computed only on the way to the
    /// others.
    pub fn with_frozen(graph: &Graph, batch: usize, purpose: Purpose, frozen: &[bool]) -> Self {
        build(graph, batch, purpose, frozen)
    }

    /// Where a value of the graph lies once its step has run; `None` when it is fused into the next or not computed.
    pub fn place(&self, value: Value) -> Option<Place> {
        self.places[value.index()]
    }
}

/// When each buffer is written first and read last. Forward step i happens at time i + 1 (the input arrives at 0), the
/// losses at `steps + 1`, the backward of step i at `2 * steps + 1 - i`.
struct Clock {
    steps: usize,
}

impl Clock {
    fn forward(&self, step: usize) -> usize {
        step + 1
    }

    fn losses(&self) -> usize {
        self.steps + 1
    }

    fn backward(&self, step: usize) -> usize {
        2 * self.steps + 1 - step
    }
}

fn build(graph: &Graph, batch: usize, purpose: Purpose, frozen: &[bool]) -> Plan {
    let training = purpose.is_training();
    let passes = Passes::run(graph, purpose, frozen);
    let clock = Clock { steps: passes.steps.len() };

    let mut buffers = values_alive(&passes, &clock, batch, training);
    let grads = if training { gradients_alive(&passes, &clock, batch) } else { vec![] };
    let values_end = buffers.len();
    buffers.extend(grads);
    let layout = allocate(&buffers);

    let place = |v: Value| passes.slot(v).map(|slot| slot.place(layout.offsets[slot.buffer]));
    let grad = |v: Value| {
        let slot = passes.slot(v).expect("a computed value has a slot");
        slot.place(layout.offsets[values_end + slot.buffer])
    };
    let computed = |v: Value| place(v).expect("a computed value has a place");

    let steps: Vec<Step> = passes
        .steps
        .iter()
        .map(|s| Step {
            node: s.node,
            inputs: s.inputs.iter().map(|&v| computed(v)).collect(),
            channels: s.channels.clone(),
            output: computed(s.output),
            activation: s.activation,
            frozen: frozen[s.node],
        })
        .collect();
    let heads: Vec<Head> = passes
        .outputs
        .iter()
        .map(|o| Head {
            value: o.value,
            place: computed(o.value),
            grad: training.then(|| grad(o.value)),
            loss_weight: o.loss_weight,
        })
        .collect();
    let (clear, backward) = if training { backward_steps(&passes, &heads, grad) } else { (vec![], vec![]) };
    Plan {
        batch,
        steps,
        clear,
        backward,
        input: computed(Value::INPUT),
        input_grad: (purpose == Purpose::Training { input_grad: true }).then(|| grad(Value::INPUT)),
        heads,
        arena: layout.size,
        largest_live: layout.largest_live,
        places: graph.values().map(place).collect(),
    }
}

/// Lifetimes of the buffers that hold values.
fn values_alive(passes: &Passes, clock: &Clock, batch: usize, training: bool) -> Vec<Buffer> {
    let mut buffers: Vec<Buffer> =
        passes.buffers.iter().map(|&floats| Buffer { floats: floats * batch, first: usize::MAX, last: 0 }).collect();
    let mut alive = |v: Value, time: usize| {
        if let Some(slot) = passes.slot(v) {
            buffers[slot.buffer].alive_at(time);
        }
    };
    alive(Value::INPUT, 0);
    for (i, step) in passes.steps.iter().enumerate() {
        for &v in step.inputs.iter().chain([&step.output]) {
            alive(v, clock.forward(i));
            if training && passes.has_grad(step.output) {
                alive(v, clock.backward(i));
            }
        }
    }
    for o in &passes.outputs {
        alive(o.value, clock.losses());
    }
    buffers
}

/// Lifetimes of the buffers' gradients: from the first reader's backward to the last writer's.
fn gradients_alive(passes: &Passes, clock: &Clock, batch: usize) -> Vec<Buffer> {
    let mut buffers: Vec<Buffer> =
        passes.buffers.iter().map(|&floats| Buffer { floats: floats * batch, first: usize::MAX, last: 0 }).collect();
    // The losses write the gradient of every head.
    for slot in passes.outputs.iter().filter_map(|o| passes.slot(o.value)) {
        buffers[slot.buffer].alive_at(clock.losses());
    }
    let mut alive = |v: Value, time: usize| {
        if let Some(slot) = passes.slot(v).filter(|_| passes.has_grad(v)) {
            buffers[slot.buffer].alive_at(time);
        }
    };
    for (i, step) in passes.steps.iter().enumerate().filter(|(_, step)| passes.has_grad(step.output)) {
        for &v in step.inputs.iter().chain([&step.output]) {
            alive(v, clock.backward(i));
        }
    }
    for buffer in &mut buffers {
        if buffer.first == usize::MAX {
            *buffer = Buffer { floats: 0, first: 0, last: 0 };
        }
    }
    buffers
}

/// The backward half: reversed steps, with the first writer of each gradient overwriting and later ones adding.
/// A buffer that several values share is cleared first, unless the value that fills it whole writes first.
fn backward_steps(passes: &Passes, heads: &[Head], grad: impl Fn(Value) -> Place) -> (Vec<Place>, Vec<BackwardStep>) {
    let mut touched = vec![false; passes.buffers.len()];
    // Returns whether to accumulate, and what to clear first.
    let mut touch = |v: Value| {
        let slot = passes.slot(v).expect("a computed value has a slot");
        let first = !std::mem::replace(&mut touched[slot.buffer], true);
        let whole = slot.c == slot.pitch;
        let clear = (first && !whole).then(|| {
            let place = grad(v);
            Place { offset: place.offset - slot.channel, c: slot.pitch, ..place }
        });
        (!first || clear.is_some(), clear)
    };
    let clear = heads.iter().filter_map(|h| touch(h.value).1).collect();
    let mut backward = vec![];
    for (i, step) in passes.steps.iter().enumerate().rev().filter(|(_, step)| passes.has_grad(step.output)) {
        let mut clear = vec![];
        let dx = step
            .inputs
            .iter()
            .map(|&v| {
                passes.has_grad(v).then(|| {
                    let (accumulate, first) = touch(v);
                    clear.extend(first);
                    GradWrite { place: grad(v), accumulate }
                })
            })
            .collect();
        backward.push(BackwardStep { step: i, clear, dy: grad(step.output), dx });
    }
    (clear, backward)
}

#[cfg(test)]
mod tests;
