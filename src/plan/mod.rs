//! How a graph runs: which steps, in which order, on which part of one arena. Every engine executes the same plan.
//!
//! Planning drops what need not run (dead nodes; dropout at inference; flatten where the next linear layer can read
//! the map as it lies), fuses activations and, at inference, residual sums into the layer before them, writes branches straight into their
//! concatenation, and lets values share memory when they are not alive at once.

mod memory;
mod optimizer;
mod passes;
pub mod rewrite;
mod schedule;

pub use optimizer::{Optimizer, StepReport, Update, check_clip_norm, clip_factor};

use crate::graph::{Graph, Value};
use crate::layers::Activation;
use memory::allocate;
use passes::{Passes, ValueStep};
use schedule::{Event, Schedule};

/// A strided NHWC view of a value in the arena. A value that is a branch of a concatenation has a pixel stride larger
/// than its number of channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// First float in the arena.
    pub offset: usize,
    /// Floats from one pixel to the next.
    pub pixel_stride: usize,
    /// Channels.
    pub c: usize,
    /// Height.
    pub h: usize,
    /// Width.
    pub w: usize,
}

impl View {
    /// Pixels in a batch of `n`.
    pub fn pixels(&self, n: usize) -> usize {
        n * self.h * self.w
    }

    /// Floats from its first to one past its last, for a batch of `n`.
    pub fn span(&self, n: usize) -> usize {
        (self.pixels(n) - 1) * self.pixel_stride + self.c
    }

    /// The value alone, from its whole span.
    pub(crate) fn gather(&self, span: &[f32]) -> Vec<f32> {
        span.chunks(self.pixel_stride).flat_map(|pixel| &pixel[..self.c]).copied().collect()
    }
}

/// One forward operation: the layer of `node`, then `activation`.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Index into the graph's nodes.
    pub node: usize,
    /// What it reads. A concatenation reads only the inputs that do not already lie in place; what a convolution reads
    /// second is added to its result, before the activation.
    pub inputs: Vec<View>,
    /// For a concatenation, the first channel of each of `inputs` in the output.
    pub channels: Vec<usize>,
    /// What it writes.
    pub output: View,
    /// Rounds a convolution's result before the second input is added to it.
    pub requantize: Option<Activation>,
    /// Applied to the output as it is written.
    pub activation: Option<Activation>,
    /// In training, whether its parameters stay as they are: a batch normalisation then uses its running statistics.
    pub frozen: bool,
}

impl Step {
    /// A convolution that rounds and a sum, for kernels that cannot round before they add.
    pub(crate) fn split_residual_add(&self) -> Option<[Step; 2]> {
        let (requantize, &[x, addend]) = (self.requantize?, &self.inputs[..]) else { return None };
        let conv = Step { inputs: vec![x], activation: Some(requantize), requantize: None, ..self.clone() };
        let sum = Step { inputs: vec![self.output, addend], requantize: None, ..self.clone() };
        Some([conv, sum])
    }
}

/// Where a backward operation writes the gradient of one input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GradWrite {
    /// The input's gradient.
    pub view: View,
    /// Add to what is there (the value has another reader, whose backward ran before).
    pub accumulate: bool,
}

/// One backward operation: that of `steps[step]`. If the step has a fused activation, `dy` is first multiplied, in
/// place, by the activation's derivative.
#[derive(Debug, Clone, PartialEq)]
pub struct BackwardStep {
    /// Index into [`Plan::steps`].
    pub step: usize,
    /// Steps that run forward before it, because what they write was not kept: indices into [`Plan::steps`].
    pub recompute: Vec<usize>,
    /// Gradients to clear before this step, because several writers will add to parts of them.
    pub clear: Vec<View>,
    /// The gradient of the step's output.
    pub dy: View,
    /// For each input of the step, where its gradient goes; `None` for the network's input.
    pub dx: Vec<Option<GradWrite>>,
}

/// An output of the network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Head {
    /// The value in the graph.
    pub value: Value,
    /// Where it lies.
    pub view: View,
    /// Where the loss writes its gradient (overwriting); `None` at inference.
    pub grad: Option<View>,
    /// Its weight in the loss.
    pub loss_weight: f32,
}

/// How a graph runs for one batch size.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Samples per run.
    pub batch: usize,
    /// Forward operations in order; behind [`Plan::forward`] of them, those that the backward half repeats or goes back
    /// through in other places.
    pub steps: Vec<Step>,
    /// How many of the steps are the forward half.
    pub forward: usize,
    /// Gradients to clear before the losses write theirs.
    pub clear: Vec<View>,
    /// Backward operations in order; empty at inference.
    pub backward: Vec<BackwardStep>,
    /// Where the input batch goes.
    pub input: View,
    /// The outputs, the main one first; at inference only that one.
    pub heads: Vec<Head>,
    /// Where the gradient of the input batch goes, when that was asked for.
    pub input_grad: Option<View>,
    /// Floats in the arena.
    pub arena: usize,
    /// Floats alive at once where that is largest: no plan can need less.
    pub largest_live: usize,
    views: Vec<Option<View>>,
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
        /// Whether values are not kept but computed again, where that saves memory: about a third more work.
        recompute: bool,
    },
}

impl Purpose {
    fn is_training(self) -> bool {
        self != Purpose::Inference
    }

    fn wants_input_grad(self) -> bool {
        matches!(self, Purpose::Training { input_grad: true, .. })
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

    /// Whether the backward half computes values again.
    pub fn recomputes(&self) -> bool {
        self.steps.len() > self.forward
    }

    /// Where a value of the graph lies once its step has run; `None` when it is fused into the next or not computed.
    pub fn view(&self, value: Value) -> Option<View> {
        self.views[value.index()]
    }
}

fn build(graph: &Graph, batch: usize, purpose: Purpose, frozen: &[bool]) -> Plan {
    let training = purpose.is_training();
    let passes = Passes::run(graph, purpose, frozen);
    let schedule = match purpose {
        Purpose::Training { recompute: true, .. } => schedule::smallest(&passes),
        _ => Schedule::new(&passes, training),
    };
    let layout = allocate(&schedule.lifetimes(&passes, batch));

    let view = |v: Value| passes.slot(v).map(|slot| slot.view(layout.offsets[slot.buffer]));
    let computed = |v: Value| view(v).expect("a computed value has a place");
    let late = |v: Value| {
        let slot = passes.slot(v).expect("a computed value has a slot");
        slot.view(layout.offsets[schedule.late(slot.buffer)])
    };
    let grad = |v: Value| {
        let slot = passes.slot(v).expect("a computed value has a slot");
        slot.view(layout.offsets[2 * passes.buffers.len() + slot.buffer])
    };
    let step = |s: &ValueStep, view: &dyn Fn(Value) -> View| Step {
        node: s.node,
        inputs: s.inputs.iter().map(|&v| view(v)).collect(),
        channels: s.channels.clone(),
        output: view(s.output),
        requantize: s.requantize,
        activation: s.activation,
        frozen: frozen[s.node],
    };

    let mut steps: Vec<Step> = passes.steps.iter().map(|s| step(s, &computed)).collect();
    let heads: Vec<Head> = passes
        .outputs
        .iter()
        .map(|o| Head {
            value: o.value,
            view: computed(o.value),
            grad: training.then(|| grad(o.value)),
            loss_weight: o.loss_weight,
        })
        .collect();
    let (clear, mut backward) =
        if training { backward_steps(&passes, &schedule, &heads, grad) } else { (vec![], vec![]) };
    // Of a step whose values are dropped, a second one in the places that they have later.
    let forward = steps.len();
    let mut repeated: Vec<usize> = (0..forward).collect();
    for i in backward.iter_mut().flat_map(|back| back.recompute.iter_mut().chain([&mut back.step])) {
        if repeated[*i] == *i {
            let again = step(&passes.steps[*i], &late);
            if again != steps[*i] {
                repeated[*i] = steps.len();
                steps.push(again);
            }
        }
        *i = repeated[*i];
    }
    Plan {
        batch,
        steps,
        forward,
        clear,
        backward,
        input: computed(Value::INPUT),
        input_grad: purpose.wants_input_grad().then(|| grad(Value::INPUT)),
        heads,
        arena: layout.size,
        largest_live: layout.largest_live,
        views: graph.values().map(view).collect(),
    }
}

/// The backward half: reversed steps, with the first writer of each gradient overwriting and later ones adding.
/// A buffer that several values share is cleared first, unless the value that fills it whole writes first.
fn backward_steps(
    passes: &Passes,
    schedule: &Schedule,
    heads: &[Head],
    grad: impl Fn(Value) -> View,
) -> (Vec<View>, Vec<BackwardStep>) {
    let mut touched = vec![false; passes.buffers.len()];
    // Returns whether to accumulate, and what to clear first.
    let mut touch = |v: Value| {
        let slot = passes.slot(v).expect("a computed value has a slot");
        let first = !std::mem::replace(&mut touched[slot.buffer], true);
        let whole = slot.c == slot.pixel_stride;
        let clear = (first && !whole).then(|| {
            let view = grad(v);
            View { offset: view.offset - slot.channel, c: slot.pixel_stride, ..view }
        });
        (!first || clear.is_some(), clear)
    };
    let clear = heads.iter().filter_map(|h| touch(h.value).1).collect();
    let (mut backward, mut recompute) = (vec![], vec![]);
    for event in &schedule.events {
        let i = match *event {
            Event::Recompute(i) => {
                recompute.push(i);
                continue;
            }
            Event::Backward(i) => i,
            Event::Forward(_) | Event::Losses => continue,
        };
        let step = &passes.steps[i];
        let mut clear = vec![];
        let dx = step
            .inputs
            .iter()
            .map(|&v| {
                passes.has_grad(v).then(|| {
                    let (accumulate, first) = touch(v);
                    clear.extend(first);
                    GradWrite { view: grad(v), accumulate }
                })
            })
            .collect();
        backward.push(BackwardStep {
            step: i,
            recompute: std::mem::take(&mut recompute),
            clear,
            dy: grad(step.output),
            dx,
        });
    }
    (clear, backward)
}

#[cfg(test)]
mod tests;
