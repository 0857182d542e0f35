//! The values that the names of a file stand for.

use super::const_tensor::ConstTensor;
use super::proto::TensorProto;
use super::quantized_constant::QuantizedConstant;
use crate::graph::Value;

/// Stands for the batch size in shape arithmetic. No real dimension is so large, and sums and products with real
/// dimensions stay exact, so a dimension that depends on the batch size is recognized.
pub(super) const BATCH: i64 = 1 << 36;

/// The 8-bit form of a value: `x = (q - zero_point) * scale`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// The distance between neighbouring values.
    pub scale: f32,
    /// The quantized value of zero: 0 to 255, or -128 to 127 if `signed`.
    pub zero_point: i64,
    /// Whether quantized values are -128 to 127 rather than 0 to 255.
    pub signed: bool,
}

/// A value that depends on the network's input.
///
/// Its shape is ONNX's. Convoke's graph has maps `CxHxW` and vectors only; a value of another shape is a view of the
/// numbers of a map or vector, in row-major order.
#[derive(Debug, Clone)]
pub(super) struct Activation {
    /// Graph values that hold these numbers, in different shapes: for example before and after a flatten. Never empty.
    pub aliases: Vec<Value>,
    /// The shape of one sample.
    pub dims: Vec<usize>,
    /// Whether no other ONNX value has these aliases.
    pub is_unshared: bool,
}

impl Activation {
    /// A graph value that only this activation has.
    pub(super) fn new(value: Value, dims: &[usize]) -> Self {
        Activation { aliases: vec![value], dims: dims.to_vec(), is_unshared: true }
    }

    /// A view of the numbers in another shape.
    pub(super) fn view(&self, dims: Vec<usize>) -> Self {
        Activation { aliases: self.aliases.clone(), dims, is_unshared: false }
    }

    /// A second activation of the numbers and the shape.
    pub(super) fn share(&self) -> Self {
        self.view(self.dims.clone())
    }

    /// The number of elements of one sample.
    pub(super) fn elements(&self) -> usize {
        self.dims.iter().product()
    }

    /// The shape with the batch, as in `Nx3x32x32`.
    pub(super) fn shape_text(&self) -> String {
        std::iter::once("N".to_string()).chain(self.dims.iter().map(usize::to_string)).collect::<Vec<_>>().join("x")
    }

    /// The shape in shape arithmetic, with [`BATCH`] first.
    pub(super) fn onnx_shape(&self) -> Vec<i64> {
        std::iter::once(BATCH).chain(self.dims.iter().map(|&d| d as i64)).collect()
    }
}

/// A value of the file.
///
/// A dynamically quantized network computes `q = x / s + z` with a scale `s` that depends on `x`, multiplies `q - z` by
/// integer weights, and multiplies the product by `s` and the weights' scale. Here nothing is rounded: `q - z` and the
/// product are held as if `s` were 1 ([`OnnxValue::DynamicQuantized`]), and the last product applies the weights' scale
/// only.
#[derive(Debug, Clone)]
pub(super) enum OnnxValue<'a> {
    /// A constant of the file, not yet decoded.
    Stored(&'a TensorProto),
    /// A constant that was computed while reading.
    Constant(ConstTensor),
    /// A constant that was dequantized from 8 bits while reading.
    QuantizedConstant(QuantizedConstant),
    /// Floats that the network computes.
    Float(Activation),
    /// Integers that the network is given or computes exactly, held as floats.
    Integer(Activation),
    /// Values that the network computes and rounds to multiples of a scale, held as the floats they stand for.
    Quantized(Activation, Scale),
    /// Integers of a dynamically quantized network, with the value that was quantized.
    DynamicQuantized(Activation, Value),
    /// The scale (a float) or zero point (an integer) of the [`OnnxValue::DynamicQuantized`] of a value, times a
    /// constant.
    DynamicScale(Value, ConstTensor),
    /// The output of a node that is not supported, or a constant that was moved to its last reader.
    Unknown,
}
