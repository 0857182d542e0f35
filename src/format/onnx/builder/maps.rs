//! Activations as maps and vectors of the graph.

use super::super::node::{OnnxNode, ReadResult, unsupported};
use super::super::value::Activation;
use super::GraphBuilder;
use crate::graph::Value;
use crate::layers::{Flatten, Permute};

impl GraphBuilder<'_> {
    /// Returns the alias that has the shape of the activation, or the latest alias.
    pub(in super::super) fn preferred_alias(&self, x: &Activation) -> Value {
        let exact = x.aliases.iter().find(|&&v| self.shape(v).dims() == x.dims);
        exact.or(x.aliases.last()).copied().expect("an activation has an alias")
    }

    /// Returns a map `CxHxW` of that shape.
    pub(in super::super) fn map(&mut self, node: &OnnxNode, x: &Activation) -> ReadResult<Value> {
        match x.dims[..] {
            [c, h, w] => self.reshaped_map(node, x, [c, h, w]),
            _ => unsupported(format!("input shape: expected a map NxCxHxW, got {}", x.shape_text())),
        }
    }

    /// Returns a map with ones for missing dimensions: `CxL` as `CxLx1`, `F` as `Fx1x1`.
    pub(in super::super) fn unsqueezed_map(&mut self, node: &OnnxNode, x: &Activation) -> ReadResult<Value> {
        match x.dims[..] {
            [c] => self.reshaped_map(node, x, [c, 1, 1]),
            [c, l] => self.reshaped_map(node, x, [c, l, 1]),
            _ => self.map(node, x),
        }
    }

    /// Returns a map whose channels are the first dimension, of any number of dimensions: `CxDxHxW` as `Cx(D*H*W)x1`.
    pub(in super::super) fn channel_map(&mut self, node: &OnnxNode, x: &Activation) -> ReadResult<Value> {
        match x.dims[..] {
            [c, h, w] => self.reshaped_map(node, x, [c, h, w]),
            [c, ref rest @ ..] => self.reshaped_map(node, x, [c, rest.iter().product(), 1]),
            [] => unsupported("expected channels, got a number for each sample"),
        }
    }

    fn reshaped_map(&mut self, node: &OnnxNode, x: &Activation, shape: [usize; 3]) -> ReadResult<Value> {
        match x.aliases.iter().find(|&&v| self.shape(v).dims() == shape) {
            Some(&value) => Ok(value),
            None => self.permuted(node, ".map", x, shape, [0, 1, 2]),
        }
    }

    /// Adds a layer that sees the numbers as a map of shape `view` and permutes its axes.
    pub(in super::super) fn permuted(
        &mut self,
        node: &OnnxNode,
        suffix: &str,
        x: &Activation,
        view: [usize; 3],
        order: [usize; 3],
    ) -> ReadResult<Value> {
        self.emit(node, suffix, Permute { view, order }, &[x.aliases[0]], vec![])
    }

    /// Returns a vector of the numbers; adds a flatten unless an alias is a vector.
    pub(in super::super) fn vector(&mut self, node: &OnnxNode, x: &Activation) -> ReadResult<Value> {
        match x.aliases.iter().find(|&&v| !self.shape(v).is_map()) {
            Some(&value) => Ok(value),
            None => self.emit(node, ".flatten", Flatten {}, &[x.aliases[0]], vec![]),
        }
    }
}
