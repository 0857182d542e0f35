//! From nodes to steps: dead nodes are dropped, layers fused, and values found that are another name for existing memory.

use crate::graph::reachable::reachable;
use crate::graph::{Graph, Node, Output, Value};
use crate::layers::{Activation, Layer};

use super::purpose::Purpose;
use super::view::View;

/// The part of a buffer that a value occupies, for one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BufferSlot {
    pub buffer: usize,
    pub channel: usize,
    pub pixel_stride: usize,
    pub c: usize,
    pub h: usize,
    pub w: usize,
}

impl BufferSlot {
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

/// The results of all passes over a graph: everything about its execution but addresses.
pub(super) struct Passes {
    pub steps: Vec<ValueStep>,
    pub outputs: Vec<Output>,
    /// Floats of each buffer, for one sample.
    pub buffers: Vec<usize>,
    slots: Vec<Option<BufferSlot>>,
    /// For each value, the value whose memory holds it: itself, or the input of a layer that copies nothing.
    same_as: Vec<Value>,
    /// For each value, whether its gradient is computed.
    has_grad: Vec<bool>,
}

impl Passes {
    pub(super) fn run(graph: &Graph, purpose: Purpose, frozen: &[bool]) -> Self {
        let training = purpose.is_training();
        let outputs = if training { graph.outputs().to_vec() } else { graph.outputs()[..1].to_vec() };
        let alive = alive(graph, &outputs);
        let readers = Readers { outputs: &outputs, consumers: graph.consumers(), alive: &alive };
        let same_as = aliases(graph, &readers, training);
        let fused = fusions(graph, &readers);
        let sums = if training { vec![None; fused.len()] } else { sums(graph, &readers, &same_as, &fused) };
        let slices = slices(graph, &alive, &same_as);
        let steps = steps(graph, &alive, &same_as, &Fusions { activations: fused, sums }, &slices);
        let (buffers, slots) = slots(graph, &steps, &same_as, &slices);
        Passes { steps, outputs, buffers, slots, same_as, has_grad: has_grad(graph, purpose, frozen) }
    }

    /// Returns the memory of a value; `None` for a value that is never written (fused or dead).
    pub(super) fn slot(&self, v: Value) -> Option<BufferSlot> {
        self.slots[self.same_as[v.index()].index()]
    }

    /// Returns whether the gradient of this value is computed.
    pub(super) fn has_grad(&self, v: Value) -> bool {
        self.has_grad[v.index()]
    }
}

/// Finds the values whose gradient is computed: those that trained parameters influence, or all values when the gradient of
/// the network's input is asked for.
fn has_grad(graph: &Graph, purpose: Purpose, frozen: &[bool]) -> Vec<bool> {
    let mut has_grad = vec![purpose.wants_input_grad()];
    for (node, &frozen) in graph.nodes().iter().zip(frozen) {
        let learns = !frozen && !graph.node_params(node).is_empty();
        has_grad.push(learns || node.inputs.iter().any(|v| has_grad[v.index()]));
    }
    has_grad
}

/// Returns, for each node, whether an output depends on it.
fn alive(graph: &Graph, outputs: &[Output]) -> Vec<bool> {
    reachable(graph.nodes(), outputs.iter().map(|o| o.value)).split_off(1)
}

/// The readers of all values.
struct Readers<'a> {
    outputs: &'a [Output],
    /// For each value, the nodes that read it.
    consumers: Vec<Vec<usize>>,
    /// For each node, whether an output depends on it.
    alive: &'a [bool],
}

impl Readers<'_> {
    /// Returns the only node that reads `value`, dead nodes aside; `None` for an output.
    fn only(&self, value: Value) -> Option<usize> {
        let mut alive = self.consumers[value.index()].iter().copied().filter(|&reader| self.alive[reader]);
        match (alive.next(), alive.next()) {
            (Some(only), None) if !self.is_output(value) => Some(only),
            _ => None,
        }
    }

    fn is_output(&self, value: Value) -> bool {
        self.outputs.iter().any(|o| o.value == value)
    }
}

/// Finds values that are another name for their input: dropout at inference, flatten where memory need not be reordered.
fn aliases(graph: &Graph, readers: &Readers, training: bool) -> Vec<Value> {
    let mut same_as: Vec<Value> = graph.values().collect();
    for (i, node) in graph.nodes().iter().enumerate() {
        let alias = match node.layer {
            Layer::Dropout(_) => !training,
            Layer::Flatten(_) => order_is_free(graph, readers, i),
            _ => false,
        };
        if alias {
            same_as[i + 1] = same_as[node.inputs[0].index()];
        }
    }
    same_as
}

/// Returns whether no reader depends on the order of this flatten's output. A map of one pixel has only one order, linear
/// layers permute their weights, and for element-wise layers it depends on their readers.
fn order_is_free(graph: &Graph, readers: &Readers, flatten: usize) -> bool {
    let (_, h, w) = graph.shape(graph.nodes()[flatten].inputs[0]).chw();
    if h * w == 1 {
        return true;
    }
    let mut stack = vec![flatten];
    while let Some(i) = stack.pop() {
        let value = Value::of_node(i);
        if readers.is_output(value) {
            return false;
        }
        for &reader in &readers.consumers[value.index()] {
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

/// A sum that is fused into the convolution that computes one of its two inputs.
#[derive(Clone, Copy)]
struct Sum {
    /// The sum's node.
    node: usize,
    /// The other input.
    addend: Value,
}

/// The nodes that are fused into each node.
struct Fusions {
    /// The activation.
    activations: Vec<Option<usize>>,
    /// The sum, for convolutions.
    sums: Vec<Option<Sum>>,
}

/// Returns, for each node, the activation node that is fused into it.
fn fusions(graph: &Graph, readers: &Readers) -> Vec<Option<usize>> {
    let fuse = |(i, node): (usize, &Node)| {
        let fusible = matches!(node.layer, Layer::Conv2d(_) | Layer::Linear(_) | Layer::Add(_) | Layer::BatchNorm2d(_));
        let only = readers.only(Value::of_node(i)).filter(|_| fusible)?;
        graph.nodes()[only].layer.activation().map(|_| only)
    };
    graph.nodes().iter().enumerate().map(fuse).collect()
}

/// Returns, for each convolution, the sum that is fused into it. Only the sum reads the convolution's result, which may be
/// rounded first; the other summand is computed before the convolution, as the shortcut of a residual block is.
fn sums(graph: &Graph, readers: &Readers, same_as: &[Value], activations: &[Option<usize>]) -> Vec<Option<Sum>> {
    let mut sums = vec![None; graph.nodes().len()];
    for (i, node) in graph.nodes().iter().enumerate().filter(|(i, _)| readers.alive[*i]) {
        let (Layer::Add(_), [a, b]) = (&node.layer, &node.inputs[..]) else { continue };
        let (&last, &other) = if a > b { (a, b) } else { (b, a) };
        let Some(made) = last.node() else { continue };
        let rounded = |conv: &usize| activations[*conv] == Some(made);
        let conv = match graph.nodes()[made].layer {
            Layer::FakeQuantize(_) => graph.nodes()[made].inputs[0].node().filter(rounded),
            _ => Some(made),
        };
        let Some(conv) = conv.filter(|&conv| other < Value::of_node(conv)) else { continue };
        let alone = readers.only(last) == Some(i);
        // The kernels of grouped convolutions, depthwise among them, cannot add; no network of the zoo needs it.
        let can_add = matches!(graph.nodes()[conv].layer, Layer::Conv2d(c) if c.groups == 1);
        if can_add && alone && last != other {
            sums[conv] = Some(Sum { node: i, addend: same_as[other.index()] });
        }
    }
    sums
}

/// For each value, the concatenation into which it is written, and its first channel there.
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
            // A flattened map is in another order than the concatenated vector needs.
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

/// Assigns each written value its part of a buffer. A concatenation and its branches share one buffer.
fn slots(
    graph: &Graph,
    steps: &[ValueStep],
    same_as: &[Value],
    slices: &Slices,
) -> (Vec<usize>, Vec<Option<BufferSlot>>) {
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
    let mut slots: Vec<Option<BufferSlot>> = vec![None; count];
    for v in graph.values().rev().filter(|v| written[v.index()] && same_as[v.index()] == *v) {
        let (c, h, w) = geometry[v.index()];
        // A concatenation comes after its branches in the graph, so in this reversed order its slot is already known.
        slots[v.index()] = Some(match slices[v.index()].and_then(|(whole, ch)| Some((slots[whole.index()]?, ch))) {
            Some((whole, channel)) => BufferSlot { channel: whole.channel + channel, c, ..whole },
            None => {
                buffers.push(c * h * w);
                BufferSlot { buffer: buffers.len() - 1, channel: 0, pixel_stride: c, c, h, w }
            }
        });
    }
    (buffers, slots)
}

/// Returns the shape of each value in memory, `(c, h, w)`. Element-wise layers over a flattened map keep the map's shape.
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
