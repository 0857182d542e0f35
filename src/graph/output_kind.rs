//! The meaning of a network's output.

use std::fmt;

use serde::Serialize;

use super::network::Graph;
use super::node::{Node, Output, Value};
use crate::error::{Error, Result};
use crate::layers::{Dropout, Layer, Loss};
use crate::tensor::Shape;

/// The meaning of the numbers of a network's main output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutputKind {
    /// Logits: softmax turns them into probabilities. Logarithms of probabilities are logits too.
    #[default]
    Logits,
    /// Probabilities of classes that exclude each other, with sum 1: the network ends in a softmax.
    Probabilities,
    /// A probability from 0 to 1 for each class by itself: the network ends in a sigmoid.
    IndependentProbabilities,
}

impl fmt::Display for OutputKind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            OutputKind::Logits => "logits",
            OutputKind::Probabilities => "probabilities",
            OutputKind::IndependentProbabilities => "independent probabilities",
        })
    }
}

impl Graph {
    /// Returns the meaning of the main output, which follows from the network's last layers.
    ///
    /// # Examples
    /// ```
    /// use convoke::graph::{Builder, OutputKind, Value};
    /// use convoke::layers::{Linear, Softmax};
    /// let mut b = Builder::new("tiny", [4]);
    /// let x = b.add("fc", Linear::new(3), Value::INPUT);
    /// let x = b.add("softmax", Softmax {}, x);
    /// assert_eq!(b.finish(x)?.output_kind(), OutputKind::Probabilities);
    /// # Ok::<(), convoke::Error>(())
    /// ```
    pub fn output_kind(&self) -> OutputKind {
        self.kinds()[self.outputs()[0].value.index()]
    }

    /// Returns the network for training and evaluation with `loss`, which is computed from logits: each output that the
    /// loss sees gives the logits in place of the probabilities. Names, shapes and parameters of the network stay.
    ///
    /// # Errors
    /// Returns [`Error::Argument`] for a network that ends in probabilities of another kind than those of `loss`, and for
    /// probabilities whose logits the network does not have.
    pub fn with_logits(&self, loss: Loss) -> Result<Graph> {
        let kinds = self.kinds();
        let mut nodes = self.nodes().to_vec();
        for output in self.outputs().iter().filter(|output| output.loss_weight != 0.0) {
            if kinds[output.value.index()] != OutputKind::Logits {
                let last = self.last_activation(output, loss)?;
                nodes[last].layer = Dropout { p: 0.0 }.into();
            }
        }
        Graph::new(self.name(), self.input().clone(), nodes, self.outputs().to_vec())
    }

    /// Returns the kind of each value by [`Value::index`].
    fn kinds(&self) -> Vec<OutputKind> {
        let mut kinds = vec![OutputKind::Logits];
        for (i, node) in self.nodes().iter().enumerate() {
            let kind = kind_of(node, self.shape(Value::of_node(i)), |v| kinds[v.index()]);
            kinds.push(kind);
        }
        kinds
    }

    /// Returns the index of the softmax or sigmoid that `output` ends in, which must be the activation of `loss`.
    fn last_activation(&self, output: &Output, loss: Loss) -> Result<usize> {
        let readers = self.consumers();
        let mut value = output.value;
        while let Some(i) = value.node() {
            let node = &self.nodes()[i];
            let is_output = value != output.value && self.outputs().iter().any(|other| other.value == value);
            let is_shared = readers[value.index()].len() > usize::from(value != output.value) || is_output;
            let needed = match &node.layer {
                _ if is_shared => break,
                Layer::Softmax(_) if is_distribution(self.shape(value)) => "softmax-cross-entropy",
                Layer::Sigmoid(_) => "binary-cross-entropy",
                Layer::Dropout(_) | Layer::Flatten(_) | Layer::Permute(_) => {
                    value = node.inputs[0];
                    continue;
                }
                _ => break,
            };
            let given = match loss {
                Loss::SoftmaxCrossEntropy { .. } => "softmax-cross-entropy",
                Loss::BinaryCrossEntropy => "binary-cross-entropy",
            };
            if needed != given {
                let expected = format!("{needed}, since `{}` ends in a {}", self.name(), node.layer.kind());
                return Err(Error::argument("loss", expected, given));
            }
            return Ok(i);
        }
        let expected = "a network that ends in logits, or in a softmax or sigmoid that nothing else reads";
        let actual = format!("probabilities, made by layer `{}`", self.value_name(value));
        Err(Error::argument("network", expected, actual))
    }
}

/// Returns the kind of a node's output, given its shape and the kinds of earlier values.
fn kind_of(node: &Node, shape: &Shape, known: impl Fn(Value) -> OutputKind) -> OutputKind {
    use OutputKind::{IndependentProbabilities, Logits, Probabilities};
    let first = known(node.inputs[0]);
    match &node.layer {
        Layer::Softmax(_) if is_distribution(shape) => Probabilities,
        Layer::Softmax(_) | Layer::Sigmoid(_) | Layer::HardSigmoid(_) => IndependentProbabilities,
        Layer::Dropout(_) | Layer::Flatten(_) | Layer::Permute(_) => first,
        Layer::Clip(_) | Layer::FakeQuantize(_) => first,
        // A part of a distribution, and several distributions, do not sum to 1.
        Layer::Slice(_) | Layer::Concat(_) if node.inputs.iter().all(|&v| known(v) != Logits) => {
            IndependentProbabilities
        }
        _ => Logits,
    }
}

/// Whether a softmax of this shape is one distribution, and not one for each pixel.
fn is_distribution(shape: &Shape) -> bool {
    !shape.is_map() || shape.dims()[1..] == [1, 1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Builder;
    use crate::layers::{Flatten, GlobalAvgPool, Linear, LogSoftmax, Sigmoid, Slice, Softmax};

    fn network(layers: &[Layer]) -> Graph {
        let mut b = Builder::new("net", [4, 3, 3]);
        let mut x = b.add("pool", GlobalAvgPool {}, Value::INPUT);
        for (i, layer) in layers.iter().enumerate() {
            x = b.add(format!("layer{i}"), layer.clone(), x);
        }
        b.finish(x).unwrap()
    }

    #[test]
    fn the_last_layers_say_what_an_output_is() {
        let part = Slice { start: [0; 3], end: [2, 1, 1], step: [1; 3] };
        let flat: Layer = Flatten {}.into();
        let cases: [(&[Layer], OutputKind); 8] = [
            (&[flat.clone(), Linear::new(3).into()], OutputKind::Logits),
            (&[flat.clone(), Softmax {}.into()], OutputKind::Probabilities),
            (&[Softmax {}.into(), flat.clone()], OutputKind::Probabilities),
            (&[Softmax {}.into(), flat.clone(), Dropout { p: 0.0 }.into()], OutputKind::Probabilities),
            (&[Sigmoid {}.into(), flat.clone()], OutputKind::IndependentProbabilities),
            (&[flat.clone(), LogSoftmax {}.into()], OutputKind::Logits),
            (&[Softmax {}.into(), part.into()], OutputKind::IndependentProbabilities),
            (&[Softmax {}.into(), flat.clone(), Linear::new(3).into()], OutputKind::Logits),
        ];
        for (layers, kind) in cases {
            assert_eq!(network(layers).output_kind(), kind, "{layers:?}");
        }
    }

    #[test]
    fn losses_see_logits() {
        let kinds = |graph: &Graph| graph.nodes().iter().map(|n| n.layer.kind()).collect::<Vec<_>>();
        let softmax = network(&[Softmax {}.into(), Flatten {}.into()]);
        let stripped = softmax.with_logits(Loss::CROSS_ENTROPY).unwrap();
        assert_eq!(kinds(&stripped), ["global_avg_pool", "dropout", "flatten"]);
        assert_eq!(stripped.output_kind(), OutputKind::Logits);
        let sigmoid = network(&[Flatten {}.into(), Sigmoid {}.into()]);
        let stripped = sigmoid.with_logits(Loss::BinaryCrossEntropy).unwrap();
        assert_eq!(kinds(&stripped), ["global_avg_pool", "flatten", "dropout"]);
        let logits = network(&[Flatten {}.into()]);
        assert_eq!(logits.with_logits(Loss::CROSS_ENTROPY).unwrap(), logits);
    }

    #[test]
    fn losses_that_do_not_fit_are_refused() {
        let message = |graph: &Graph, loss| graph.with_logits(loss).unwrap_err().to_string();
        let softmax = network(&[Softmax {}.into()]);
        let text = message(&softmax, Loss::BinaryCrossEntropy);
        assert!(text.contains("softmax-cross-entropy, since `net` ends in a softmax"), "{text}");
        let text = message(&network(&[Sigmoid {}.into()]), Loss::CROSS_ENTROPY);
        assert!(text.contains("binary-cross-entropy, since `net` ends in a sigmoid"), "{text}");
        let part = Slice { start: [0; 3], end: [2, 1, 1], step: [1; 3] };
        let text = message(&network(&[Softmax {}.into(), part.into()]), Loss::CROSS_ENTROPY);
        assert!(text.contains("probabilities, made by layer `layer1`"), "{text}");
    }
}
