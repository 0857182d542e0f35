//! The constants of a file: taken from its names, decoded, and counted against the budget.

use std::sync::Arc;

use super::super::const_tensor::ConstTensor;
use super::super::decode::decode;
use super::super::node::{OnnxNode, ReadResult, unsupported};
use super::super::proto::{DataType, TensorProto};
use super::super::quantized_constant::QuantizedConstant;
use super::super::value::OnnxValue;
use super::GraphBuilder;
use crate::graph::Param;
use crate::tensor::{MAX_ELEMENTS, Tensor, dims};

impl GraphBuilder<'_> {
    /// Takes input `i` as a constant; `None` for an input that is left out.
    pub(in super::super) fn maybe_constant(&mut self, node: &OnnxNode, i: usize) -> ReadResult<Option<ConstTensor>> {
        let Some(name) = node.input(i) else { return Ok(None) };
        match self.take(node, name)? {
            OnnxValue::Stored(proto) => self.decode(proto).map(Some),
            OnnxValue::Constant(constant) => Ok(Some(constant)),
            OnnxValue::QuantizedConstant(constant) => self.dequantize(&constant).map(Some),
            _ => unsupported(format!("input {i} (`{name}`): expected a constant, got a value computed by the network")),
        }
    }

    /// Takes input `i` as a constant; it must not be left out.
    pub(in super::super) fn constant(&mut self, node: &OnnxNode, i: usize) -> ReadResult<ConstTensor> {
        let none = || node.invalid(format!("input {i}"), "a value", "none");
        self.maybe_constant(node, i)?.ok_or_else(none)
    }

    /// Takes input `i` as constant floats; it must not be left out.
    pub(in super::super) fn float_tensor(&mut self, node: &OnnxNode, i: usize) -> ReadResult<Tensor> {
        let constant = self.constant(node, i)?;
        constant.into_float_tensor().ok_or_else(|| node.invalid(format!("input {i}"), "floats", "integers"))
    }

    /// Takes input `i` as constant integers; `None` for an input that is left out.
    pub(in super::super) fn maybe_integers(&mut self, node: &OnnxNode, i: usize) -> ReadResult<Option<Vec<i64>>> {
        let Some(constant) = self.maybe_constant(node, i)? else { return Ok(None) };
        constant.to_integers().ok_or_else(|| node.invalid(format!("input {i}"), "integers", "floats")).map(Some)
    }

    /// Takes a list of integers that is an attribute before operator set `since`, and input `i` from then on.
    pub(in super::super) fn integers_since(
        &mut self,
        node: &OnnxNode,
        attribute: &str,
        since: i64,
        i: usize,
    ) -> ReadResult<Option<Vec<i64>>> {
        if node.opset < since {
            return Ok(node.ints(attribute).map(<[i64]>::to_vec));
        }
        self.maybe_integers(node, i)
    }

    /// Takes input `i` as a layer's weights, whose first axis is the output channel. With `transposed`, the input is a
    /// matrix `[in, out]`.
    pub(in super::super) fn layer_weights(
        &mut self,
        node: &OnnxNode,
        i: usize,
        transposed: bool,
    ) -> ReadResult<Arc<Param>> {
        if let Some(OnnxValue::QuantizedConstant(_)) = self.peek(node, i) {
            let OnnxValue::QuantizedConstant(constant) = self.input(node, i)? else { unreachable!("peeked above") };
            return self.quantized_weights(&constant, transposed);
        }
        let weights = self.float_tensor(node, i)?;
        self.outputs_first(weights, transposed)
    }

    /// Converts a constant to a layer's weights like [`GraphBuilder::layer_weights`], in 8 bits if its scales allow.
    pub(in super::super) fn quantized_weights(
        &mut self,
        constant: &QuantizedConstant,
        transposed: bool,
    ) -> ReadResult<Arc<Param>> {
        self.charge(constant.shape(), 1)?;
        if let Some(param) = constant.to_param(transposed) {
            return Ok(param);
        }
        self.charge(constant.shape(), 4)?;
        self.outputs_first(constant.dequantize(), transposed)
    }

    /// Converts floats to a layer's weights: a matrix `[in, out]` is transposed if `transposed` says so.
    pub(in super::super) fn outputs_first(&mut self, weights: Tensor, transposed: bool) -> ReadResult<Arc<Param>> {
        if !transposed {
            return Ok(weights.into());
        }
        let &[rows, columns] = &weights.shape[..] else {
            return unsupported(format!("weights: expected a matrix, got {}", dims(&weights.shape)));
        };
        self.charge(&weights.shape, 4)?;
        let mut data = vec![0.0; weights.data.len()];
        for r in 0..rows {
            for c in 0..columns {
                data[c * rows + r] = weights.data[r * columns + c];
            }
        }
        Ok(Tensor { shape: vec![columns, rows], data }.into())
    }

    /// Returns the data type of input `i`; `None` unless it is a tensor of the file.
    pub(in super::super) fn stored_data_type(&self, node: &OnnxNode, i: usize) -> Option<DataType> {
        match self.peek(node, i) {
            Some(OnnxValue::Stored(proto)) => DataType::try_from(proto.data_type).ok(),
            _ => None,
        }
    }

    /// Converts weights of 8 bits to floats.
    pub(in super::super) fn dequantize(&mut self, constant: &QuantizedConstant) -> ReadResult<ConstTensor> {
        self.charge(constant.shape(), 4)?;
        Ok(constant.dequantize().into())
    }

    /// Decodes a tensor of the file. Each time counts against the budget, because a tensor may be read often.
    pub(in super::super) fn decode(&mut self, proto: &TensorProto) -> ReadResult<ConstTensor> {
        let raw = proto.raw_data.as_ref().map_or(0, |b| b.len()) as u64;
        let typed = ConstTensor::byte_size(&[proto.float_data.len() + proto.int32_data.len()], 4);
        self.budget.charge(raw.max(typed))?;
        Ok(decode(proto)?)
    }

    /// Counts a constant that is about to be computed, of `width` bytes for each value, against the budget.
    ///
    /// # Errors
    /// [`Error::TooLarge`] once the budget is spent.
    pub(in super::super) fn charge(&mut self, shape: &[usize], width: usize) -> ReadResult {
        // A dimension of zero must not hide a product that overflows.
        let largest = shape.iter().filter(|&&d| d > 0).fold(1usize, |n, &d| n.saturating_mul(d));
        if largest > MAX_ELEMENTS {
            return unsupported(format!("a constant of shape {}", dims(shape)));
        }
        Ok(self.budget.charge(ConstTensor::byte_size(shape, width))?)
    }
}
