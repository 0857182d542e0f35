//! The plan of a graph, built from the results of the passes, the schedule and the memory plan.

use super::memory::allocate;
use super::passes::{Passes, ValueStep};
use super::purpose::Purpose;
use super::schedule::{self, Event, Schedule};
use super::step::{BackwardStep, GradWrite, Head, Step};
use super::view::View;
use crate::graph::{Graph, Value};

/// The execution plan of a graph for one batch size. Offsets and sizes count floats in one arena.
///
/// # Examples
/// ```
/// use convoke::plan::{Plan, Purpose};
/// use convoke::zoo::{self, Options};
/// let graph = zoo::network("lenet5", Options::default())?;
/// let plan = Plan::new(&graph, 1, Purpose::Inference);
/// // Activations are fused, and flatten copies nothing.
/// assert_eq!((graph.nodes().len(), plan.steps.len()), (12, 7));
/// # Ok::<(), convoke::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The number of samples per run.
    pub batch: usize,
    /// The forward operations in order. Those from index [`Plan::forward`] on belong to the backward half: steps that it
    /// recomputes, or whose values it finds, in other places of the arena.
    pub steps: Vec<Step>,
    /// The number of steps in the forward half.
    pub forward: usize,
    /// The gradients to set to zero before the losses write theirs.
    pub clear: Vec<View>,
    /// The backward operations in order; empty at inference.
    pub backward: Vec<BackwardStep>,
    /// The place of the input batch.
    pub input: View,
    /// The outputs, the main one first; at inference only that one.
    pub heads: Vec<Head>,
    /// The place of the input batch's gradient, when it is computed.
    pub input_grad: Option<View>,
    /// The size of the arena in floats.
    pub arena: usize,
    /// The largest number of floats alive at one time: a lower bound of the size of any arena.
    pub largest_live: usize,
    views: Vec<Option<View>>,
}

impl Plan {
    /// Plans `graph` for `batch` samples at once, at least 1.
    pub fn new(graph: &Graph, batch: usize, purpose: Purpose) -> Self {
        Self::with_frozen(graph, batch, purpose, &vec![false; graph.nodes().len()])
    }

    /// Plans `graph` for training where the parameters of some nodes, `frozen` by index, are not trained. Gradients are
    /// computed only for values that the other parameters influence.
    ///
    /// # Panics
    /// Panics when `frozen` has fewer entries than the graph has nodes.
    pub fn with_frozen(graph: &Graph, batch: usize, purpose: Purpose, frozen: &[bool]) -> Self {
        build(graph, batch, purpose, frozen)
    }

    /// Returns whether the backward half recomputes values.
    pub fn recomputes(&self) -> bool {
        self.steps.len() > self.forward
    }

    /// Returns the place of a value once its step has run; `None` for a value that is fused into the next or not computed.
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
    // A step whose values are dropped gets a second copy, with the places of the backward half.
    let forward = steps.len();
    let mut late_step: Vec<usize> = (0..forward).collect();
    for i in backward.iter_mut().flat_map(|back| back.recompute.iter_mut().chain([&mut back.step])) {
        if late_step[*i] == *i {
            let recomputed = step(&passes.steps[*i], &late);
            if recomputed != steps[*i] {
                late_step[*i] = steps.len();
                steps.push(recomputed);
            }
        }
        *i = late_step[*i];
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

/// Builds the backward half: the gradients to clear before the losses, and the reversed steps. The first writer of a
/// gradient overwrites it, later ones add. A buffer that several values share is cleared first, unless the value that fills
/// all of it writes first.
fn backward_steps(
    passes: &Passes,
    schedule: &Schedule,
    heads: &[Head],
    grad: impl Fn(Value) -> View,
) -> (Vec<View>, Vec<BackwardStep>) {
    let mut touched = vec![false; passes.buffers.len()];
    // Returns whether to accumulate, and the view to clear first.
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
