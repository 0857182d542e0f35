//! From nodes to steps: what runs, what is fused, what is only another name for memory that is already there.

use crate::graph::reachable::reachable;
use crate::graph::{Graph, Output, Value};
use crate::layers::{Activation, Layer};

use super::{Purpose, View};

/// A value's part of a buffer, for one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub buffer: usize,
    pub channel: usize,
    pub pixel_stride: usize,
    pub c: usize,
    pub h: usize,
    pub w: usize,
}

impl Slot {
    pub(super) fn view(&self, buffer_offset: usize) -> View {
        View { offset: buffer_offset + self.channel, pixel_stride: self.pixel_stride, c: self.c, h: self.h, w: self.w }
    }
}

/// A step over values, before memory is known.
#[derive(Debug)]
pub(super) struct ValueStep {
    pub node: usize,
    pub inputs: Vec<Value>,
    pub channels: Vec<usize>,
    pub output: Value,
    pub requantize: Option<Activation>,
    pub activation: Option<Activation>,
}

/// Everything known about a graph's execution but the addresses.
pub(super) struct Passes {
    pub steps: Vec<ValueStep>,
    pub outputs: Vec<Output>,
    /// Floats of each buffer, for one sample.
    pub buffers: Vec<usize>,
    slots: Vec<Option<Slot>>,
    /// For each value, the value whose memory it is: itself, or the input of a layer that copies nothing.
    same_as: Vec<Value>,
    /// For each value, whether its gradient is wanted.
    has_grad: Vec<bool>,
}

impl Passes {
    pub(super) fn run(graph: &Graph, purpose: Purpose, frozen: &[bool]) -> Self {
        let training = purpose.is_training();
        let outputs = if training { graph.outputs().to_vec() } else { graph.outputs()[..1].to_vec() };
        let alive = alive(graph, &outputs);
        let same_as = aliases(graph, &outputs, training);
        let fused = fusions(graph, &outputs, &alive);
        let sums = if training { vec![None; fused.len()] } else { sums(graph, &outputs, &alive, &same_as, &fused) };
        let slices = slices(graph, &alive, &same_as);
        let steps = steps(graph, &alive, &same_as, &Fusions { activations: fused, sums }, &slices);
        let (buffers, slots) = slots(graph, &steps, &same_as, &slices);
        Passes { steps, outputs, buffers, slots, same_as, has_grad: has_grad(graph, purpose, frozen) }
    }

    /// The memory of a value; `None` when it is never written (fused, dead).
    pub(super) fn slot(&self, v: Value) -> Option<Slot> {
        self.slots[self.same_as[v.index()].index()]
    }

    /// Whether a gradient flows into this value.
    pub(super) fn has_grad(&self, v: Value) -> bool {
        self.has_grad[v.index()]
    }
}

/// Gradients flow to what learns; to the network's input, and so everywhere, only when that was asked for.
fn has_grad(graph: &Graph, purpose: Purpose, frozen: &[bool]) -> Vec<bool> {
    let mut has_grad = vec![purpose.wants_input_grad()];
    for (node, &frozen) in graph.nodes().iter().zip(frozen) {
        let learns = !frozen && !graph.node_params(node).is_empty();
        has_grad.push(learns || node.inputs.iter().any(|v| has_grad[v.index()]));
    }
    has_grad
}

/// For each node, whether an output depends on it.
fn alive(graph: &Graph, outputs: &[Output]) -> Vec<bool> {
    reachable(graph.nodes(), outputs.iter().map(|o| o.value)).split_off(1)
}

/// Values that are only another name: dropout at inference; flatten where the memory need not be reordered.
fn aliases(graph: &Graph, outputs: &[Output], training: bool) -> Vec<Value> {
    let consumers = graph.consumers();
    let mut same_as: Vec<Value> = graph.values().collect();
    for (i, node) in graph.nodes().iter().enumerate() {
        let alias = match node.layer {
            Layer::Dropout(_) => !training,
            Layer::Flatten(_) => order_is_free(graph, outputs, &consumers, i),
            _ => false,
        };
        if alias {
            same_as[i + 1] = same_as[node.inputs[0].index()];
        }
    }
    same_as
}

/// Whether nobody can see the order of this flatten's output: a map of one pixel has only one, and linear layers permute
/// their weights; element-wise layers pass the question on.
fn order_is_free(graph: &Graph, outputs: &[Output], consumers: &[Vec<usize>], flatten: usize) -> bool {
    let (_, h, w) = graph.shape(graph.nodes()[flatten].inputs[0]).chw();
    if h * w == 1 {
        return true;
    }
    let mut stack = vec![flatten];
    while let Some(i) = stack.pop() {
        let value = Value::of_node(i);
        if outputs.iter().any(|o| o.value == value) {
            return false;
        }
        for &reader in &consumers[value.index()] {
            match &graph.nodes()[reader].layer {
                Layer::Linear(_) => {}
                Layer::Dropout(_) | Layer::Flatten(_) => stack.push(reader),
                layer if layer.activation().is_some() => stack.push(reader),
                _ => return false,
            }
        }
    }
    true
}

/// A sum that is computed by the convolution that makes one of its two inputs.
#[derive(Clone, Copy)]
struct Sum {
    /// The sum's node.
    node: usize,
    /// The other input.
    addend: Value,
}

/// What is fused into each node.
struct Fusions {
    /// An activation node.
    activations: Vec<Option<usize>>,
    sums: Vec<Option<Sum>>,
}

/// For each node, the activation node that is fused into it.
fn fusions(graph: &Graph, outputs: &[Output], alive: &[bool]) -> Vec<Option<usize>> {
    let consumers = graph.consumers();
    let fuse = |(i, node): (usize, &crate::graph::Node)| {
        let fusible = matches!(node.layer, Layer::Conv2d(_) | Layer::Linear(_) | Layer::Add(_) | Layer::BatchNorm2d(_));
        let value = Value::of_node(i);
        let mut readers = consumers[value.index()].iter().copied().filter(|&r| alive[r]);
        match (readers.next(), readers.next()) {
            (Some(only), None) if fusible && outputs.iter().all(|o| o.value != value) => {
                graph.nodes()[only].layer.activation().map(|_| only)
            }
            _ => None,
        }
    };
    graph.nodes().iter().enumerate().map(fuse).collect()
}

/// For each convolution, the sum that it computes as it writes: that of its result, which only the sum reads, and a value
/// that is there before it, as the shortcut of a residual block is. The result may be rounded first.
fn sums(
    graph: &Graph,
    outputs: &[Output],
    alive: &[bool],
    same_as: &[Value],
    activations: &[Option<usize>],
) -> Vec<Option<Sum>> {
    let consumers = graph.consumers();
    let mut sums = vec![None; graph.nodes().len()];
    for (i, node) in graph.nodes().iter().enumerate().filter(|(i, _)| alive[*i]) {
        let (Layer::Add(_), [a, b]) = (&node.layer, &node.inputs[..]) else { continue };
        let (&last, &other) = if a > b { (a, b) } else { (b, a) };
        let Some(made) = last.node() else { continue };
        let rounded = |conv: &usize| activations[*conv] == Some(made);
        let conv = match graph.nodes()[made].layer {
            Layer::FakeQuantize(_) => graph.nodes()[made].inputs[0].node().filter(rounded),
            _ => Some(made),
        };
        let Some(conv) = conv.filter(|&conv| other < Value::of_node(conv)) else { continue };
        let alone = consumers[last.index()].iter().filter(|&&reader| alive[reader]).eq([&i]);
        // Grouped ones, depthwise among them, have kernels of their own, and no network adds to them.
        let can = matches!(graph.nodes()[conv].layer, Layer::Conv2d(c) if c.groups == 1);
        if can && alone && last != other && outputs.iter().all(|o| o.value != last) {
            sums[conv] = Some(Sum { node: i, addend: same_as[other.index()] });
        }
    }
    sums
}

/// For each value, the concatenation it is written into and its first channel there.
type Slices = Vec<Option<(Value, usize)>>;

fn slices(graph: &Graph, alive: &[bool], same_as: &[Value]) -> Slices {
    let mut slices: Slices = vec![None; graph.nodes().len() + 1];
    for (i, node) in graph.nodes().iter().enumerate().rev() {
        if !alive[i] || !matches!(node.layer, Layer::Concat(_)) {
            continue;
        }
        let mut channel = 0;
        for &input in &node.inputs {
            let v = same_as[input.index()];
            let once = node.inputs.iter().filter(|u| same_as[u.index()] == v).count() == 1;
            // A flattened map lies in another order than the concatenated vector needs.
            let same_geometry = graph.shape(v).chw() == graph.shape(input).chw();
            if once && same_geometry && v != Value::INPUT && slices[v.index()].is_none() {
                slices[v.index()] = Some((Value::of_node(i), channel));
            }
            channel += graph.shape(input).chw().0;
        }
    }
    slices
}

fn steps(graph: &Graph, alive: &[bool], same_as: &[Value], fused: &Fusions, slices: &Slices) -> Vec<ValueStep> {
    let Fusions { activations, sums } = fused;
    let mut fused_away = vec![false; graph.nodes().len()];
    let of_sums = sums.iter().flatten().map(|sum| &sum.node);
    activations.iter().flatten().chain(of_sums).for_each(|&node| fused_away[node] = true);
    let mut steps = vec![];
    for (i, node) in graph.nodes().iter().enumerate() {
        let value = Value::of_node(i);
        if !alive[i] || same_as[value.index()] != value || fused_away[i] {
            continue;
        }
        let mut step =
            ValueStep { node: i, inputs: vec![], channels: vec![], output: value, requantize: None, activation: None };
        if matches!(node.layer, Layer::Concat(_)) {
            let mut channel = 0;
            for &input in &node.inputs {
                let v = same_as[input.index()];
                if slices[v.index()] != Some((value, channel)) {
                    step.inputs.push(v);
                    step.channels.push(channel);
                }
                channel += graph.shape(input).chw().0;
            }
            if step.inputs.is_empty() {
                continue;
            }
        } else {
            step.inputs = node.inputs.iter().map(|v| same_as[v.index()]).collect();
        }
        let activation = |node: usize| activations[node].and_then(|a| graph.nodes()[a].layer.activation());
        let mut last = i;
        if let Some(sum) = sums[i] {
            step.inputs.push(sum.addend);
            step.requantize = activation(i);
            last = sum.node;
        }
        step.activation = activation(last);
        step.output = Value::of_node(activations[last].unwrap_or(last));
        steps.push(step);
    }
    steps
}

/// Gives every written value its part of a buffer. A concatenation is one buffer with all that is written into it.
fn slots(graph: &Graph, steps: &[ValueStep], same_as: &[Value], slices: &Slices) -> (Vec<usize>, Vec<Option<Slot>>) {
    let count = graph.nodes().len() + 1;
    let mut written = vec![false; count];
    written[0] = true;
    for step in steps {
        written[step.output.index()] = true;
    }
    // A concatenation whose parts are all written in place has no step of its own.
    let mut stack: Vec<Value> = graph.values().filter(|v| written[v.index()]).collect();
    while let Some(v) = stack.pop() {
        if let Some((whole, _)) = slices[v.index()]
            && !std::mem::replace(&mut written[whole.index()], true)
        {
            stack.push(whole);
        }
    }
    let geometry = geometry(graph, same_as);
    let mut buffers = vec![];
    let mut slots: Vec<Option<Slot>> = vec![None; count];
    for v in graph.values().rev().filter(|v| written[v.index()] && same_as[v.index()] == *v) {
        let (c, h, w) = geometry[v.index()];
        // Wholes come after their parts in the graph, so in this reversed order their slots are already known.
        slots[v.index()] = Some(match slices[v.index()].and_then(|(whole, ch)| Some((slots[whole.index()]?, ch))) {
            Some((whole, channel)) => Slot { channel: whole.channel + channel, c, ..whole },
            None => {
                buffers.push(c * h * w);
                Slot { buffer: buffers.len() - 1, channel: 0, pixel_stride: c, c, h, w }
            }
        });
    }
    (buffers, slots)
}

/// How each value lies in memory, as `(c, h, w)`: element-wise layers over a flattened map keep the map's.
fn geometry(graph: &Graph, same_as: &[Value]) -> Vec<(usize, usize, usize)> {
    let mut geometry: Vec<_> = graph.values().map(|v| graph.shape(v).chw()).collect();
    for (i, node) in graph.nodes().iter().enumerate() {
        let elementwise = node.layer.activation().is_some() || matches!(node.layer, Layer::Dropout(_));
        if elementwise || same_as[i + 1] != Value::of_node(i) {
            geometry[i + 1] = geometry[node.inputs[0].index()];
        }
    }
    geometry
}
