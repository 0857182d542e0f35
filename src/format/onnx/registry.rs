//! The operators that are read, one row for each. The list in the documentation (`operators.md`) and the message for an
//! operator that is not supported derive from these rows.

use super::builder::GraphBuilder;
use super::const_tensor::ConstTensor;
use super::node::{OnnxNode, ReadResult, is_default_domain, unsupported};
use super::value::{Activation, OnnxValue};
use super::{fold, ops};

/// An operator and its handlers.
pub(super) struct Operator {
    /// ONNX's name.
    name: &'static str,
    domain: Domain,
    import: Option<Import>,
    fold: Option<Fold>,
    /// Whether the operator gives values of its first input and zeros, and no others. Its handlers get integers and
    /// quantized values like floats.
    pub moves_values: bool,
}

/// Where an operator is defined.
#[derive(Clone, Copy, PartialEq)]
enum Domain {
    /// ONNX.
    Onnx,
    /// ONNX, and domains of vendors that define it likewise.
    Any,
    /// ONNX Runtime's `com.microsoft`.
    Microsoft,
}

/// Adds the layers of a node whose inputs the network computes.
enum Import {
    Float(fn(&mut GraphBuilder, &OnnxNode) -> ReadResult<Activation>),
    Values(for<'a> fn(&mut GraphBuilder<'a>, &OnnxNode) -> ReadResult<Vec<OnnxValue<'a>>>),
}

/// Computes a node whose inputs are all constants.
enum Fold {
    Constant(fn(&mut GraphBuilder, &OnnxNode) -> ReadResult<ConstTensor>),
    Constants(fn(&mut GraphBuilder, &OnnxNode) -> ReadResult<Vec<ConstTensor>>),
    Values(for<'a> fn(&mut GraphBuilder<'a>, &OnnxNode) -> ReadResult<Vec<OnnxValue<'a>>>),
}

impl Operator {
    const fn new(name: &'static str) -> Self {
        Operator { name, domain: Domain::Onnx, import: None, fold: None, moves_values: false }
    }

    /// With a handler for computed inputs that gives one output of floats.
    const fn import(self, handler: fn(&mut GraphBuilder, &OnnxNode) -> ReadResult<Activation>) -> Self {
        Operator { import: Some(Import::Float(handler)), ..self }
    }

    /// With a handler for computed inputs that gives outputs of any number and form.
    const fn import_values(
        self,
        handler: for<'a> fn(&mut GraphBuilder<'a>, &OnnxNode) -> ReadResult<Vec<OnnxValue<'a>>>,
    ) -> Self {
        Operator { import: Some(Import::Values(handler)), ..self }
    }

    /// With a handler for constant inputs that gives one output.
    const fn fold(self, handler: fn(&mut GraphBuilder, &OnnxNode) -> ReadResult<ConstTensor>) -> Self {
        Operator { fold: Some(Fold::Constant(handler)), ..self }
    }

    /// With a handler for constant inputs that gives several outputs.
    const fn fold_all(self, handler: fn(&mut GraphBuilder, &OnnxNode) -> ReadResult<Vec<ConstTensor>>) -> Self {
        Operator { fold: Some(Fold::Constants(handler)), ..self }
    }

    /// With a handler for constant inputs that gives outputs of any number and form.
    const fn fold_values(
        self,
        handler: for<'a> fn(&mut GraphBuilder<'a>, &OnnxNode) -> ReadResult<Vec<OnnxValue<'a>>>,
    ) -> Self {
        Operator { fold: Some(Fold::Values(handler)), ..self }
    }

    /// Moves values: see [`Operator::moves_values`].
    const fn moves_values(self) -> Self {
        Operator { moves_values: true, ..self }
    }

    const fn domain(self, domain: Domain) -> Self {
        Operator { domain, ..self }
    }

    /// Returns the name, preceded by the domain where that is not ONNX's own.
    pub(super) fn full_name(&self) -> String {
        match self.domain {
            Domain::Onnx | Domain::Any => self.name.into(),
            Domain::Microsoft => format!("com.microsoft.{}", self.name),
        }
    }
}

/// Every operator, by ONNX's categories.
pub(super) const OPERATORS: &[Operator] = &[
    // Generators.
    Operator::new("Constant").fold(fold::generate::constant),
    Operator::new("ConstantOfShape").fold(fold::generate::constant_of_shape),
    // Convolutions and matrix products.
    Operator::new("Conv").import(ops::conv::conv),
    Operator::new("Gemm").import(ops::gemm::gemm).fold(fold::gemm::gemm),
    Operator::new("MatMul").import(ops::gemm::mat_mul).fold(fold::gemm::mat_mul),
    // Pooling.
    Operator::new("AveragePool").import(ops::pool::average_pool),
    Operator::new("GlobalAveragePool").import(ops::pool::global_average_pool),
    Operator::new("GlobalMaxPool").import(ops::pool::global_max_pool).moves_values(),
    Operator::new("MaxPool").import(ops::pool::max_pool).fold_all(fold::pool::max_pool).moves_values(),
    // Reduction.
    Operator::new("ReduceMean").import(ops::reduce::reduce_mean).fold(fold::reduce::reduce_mean),
    Operator::new("ReduceSum").import(ops::reduce::reduce_sum).fold(fold::reduce::reduce_sum),
    // Normalization.
    Operator::new("BatchNormalization").import(ops::norm::batch_normalization),
    Operator::new("Dropout").import_values(ops::norm::dropout).moves_values(),
    Operator::new("InstanceNormalization").import(ops::norm::instance_normalization),
    Operator::new("LRN").import(ops::norm::lrn),
    Operator::new("LogSoftmax").import(ops::norm::log_softmax).fold(fold::norm::log_softmax),
    Operator::new("Softmax").import(ops::norm::softmax).fold(fold::norm::softmax),
    // Activation.
    Operator::new("Clip").import(ops::activation::clip).fold(fold::elementwise::clip),
    Operator::new("Elu").import(ops::activation::elu),
    Operator::new("HardSigmoid").import(ops::activation::hard_sigmoid),
    Operator::new("HardSwish").import(ops::activation::hard_swish),
    Operator::new("LeakyRelu").import(ops::activation::leaky_relu),
    Operator::new("PRelu").import(ops::activation::p_relu),
    Operator::new("Relu").import(ops::activation::relu).fold(fold::elementwise::relu),
    Operator::new("Selu").import(ops::activation::selu),
    Operator::new("Sigmoid").import(ops::activation::sigmoid).fold(fold::elementwise::sigmoid),
    Operator::new("Softplus").fold(fold::elementwise::softplus),
    Operator::new("Tanh").import(ops::activation::tanh).fold(fold::elementwise::tanh),
    // Element by element.
    Operator::new("Abs").import(ops::elementwise::abs).fold(fold::elementwise::abs),
    Operator::new("Add").import(ops::elementwise::add).fold(fold::elementwise::add),
    Operator::new("Cast").import_values(ops::elementwise::cast).fold(fold::elementwise::cast),
    Operator::new("Div").import(ops::elementwise::div).fold(fold::elementwise::div),
    Operator::new("Exp").fold(fold::elementwise::exp),
    Operator::new("Max").import(ops::elementwise::max).fold(fold::elementwise::max),
    Operator::new("Min").import(ops::elementwise::min).fold(fold::elementwise::min),
    Operator::new("Mul").import_values(ops::elementwise::mul).fold(fold::elementwise::mul),
    Operator::new("Neg").import(ops::elementwise::neg).fold(fold::elementwise::neg),
    Operator::new("Pow").import(ops::elementwise::pow).fold(fold::elementwise::pow),
    Operator::new("Reciprocal").import(ops::elementwise::reciprocal).fold(fold::elementwise::reciprocal),
    Operator::new("Sqrt").import(ops::elementwise::sqrt).fold(fold::elementwise::sqrt),
    Operator::new("Sub").import(ops::elementwise::sub).fold(fold::elementwise::sub),
    Operator::new("Sum").import(ops::elementwise::sum).fold(fold::elementwise::sum),
    // Movement of values.
    Operator::new("Concat").import(ops::movement::concat).fold(fold::movement::concat),
    Operator::new("Flatten").import(ops::movement::flatten).fold(fold::movement::flatten).moves_values(),
    Operator::new("Gather").fold(fold::movement::gather),
    Operator::new("Identity").import_values(ops::movement::identity).fold(fold::movement::identity),
    Operator::new("Pad").import(ops::pad::pad).fold(fold::movement::pad).moves_values(),
    Operator::new("Reshape").import(ops::movement::reshape).fold(fold::movement::reshape).moves_values(),
    Operator::new("Shape").import_values(ops::movement::shape).fold(fold::movement::shape),
    Operator::new("Slice").import(ops::movement::slice).fold(fold::movement::slice).moves_values(),
    Operator::new("Split").import_values(ops::movement::split).fold_all(fold::movement::split).moves_values(),
    Operator::new("Squeeze").import(ops::movement::squeeze).fold(fold::movement::squeeze).moves_values(),
    Operator::new("Tile").fold(fold::movement::tile),
    Operator::new("Transpose").import(ops::transpose::transpose).fold(fold::movement::transpose).moves_values(),
    Operator::new("Unsqueeze").import(ops::movement::unsqueeze).fold(fold::movement::unsqueeze).moves_values(),
    // Quantization.
    Operator::new("ConvInteger").import_values(ops::quantize::conv_integer).domain(Domain::Any),
    Operator::new("DequantizeLinear")
        .import(ops::quantize::dequantize_linear)
        .fold_values(fold::quantize::dequantize_linear)
        .domain(Domain::Any),
    Operator::new("DynamicQuantizeLinear")
        .import_values(ops::quantize::dynamic_quantize_linear)
        .fold_all(fold::quantize::dynamic_quantize_linear)
        .domain(Domain::Any),
    Operator::new("MatMulInteger").import_values(ops::quantize::mat_mul_integer).domain(Domain::Any),
    Operator::new("QGemm").import_values(ops::quantize::q_gemm).domain(Domain::Microsoft),
    Operator::new("QLinearAdd").import_values(ops::quantize::q_linear_add).domain(Domain::Microsoft),
    Operator::new("QLinearAveragePool").import_values(ops::quantize::q_linear_average_pool).domain(Domain::Microsoft),
    Operator::new("QLinearConcat").import_values(ops::quantize::q_linear_concat).domain(Domain::Microsoft),
    Operator::new("QLinearConv").import_values(ops::quantize::q_linear_conv).domain(Domain::Any),
    Operator::new("QLinearGlobalAveragePool")
        .import_values(ops::quantize::q_linear_global_average_pool)
        .domain(Domain::Microsoft),
    Operator::new("QLinearMatMul")
        .import_values(ops::quantize::q_linear_mat_mul)
        .fold(fold::quantize::q_linear_mat_mul)
        .domain(Domain::Any),
    Operator::new("QuantizeLinear")
        .import_values(ops::quantize::quantize_linear)
        .fold(fold::quantize::quantize_linear)
        .domain(Domain::Any),
];

/// Finds an operator. Files of some converters leave out vendors' domains, so only operators of ONNX alone have to be
/// in ONNX's domain.
pub(super) fn find(domain: &str, name: &str) -> Option<&'static Operator> {
    let is_onnx = is_default_domain(domain);
    OPERATORS.iter().find(|operator| operator.name == name && (is_onnx || operator.domain != Domain::Onnx))
}

/// Reads a node into the values of its outputs, in their order. Outputs that are not computed are missing at the end.
pub(super) fn read<'a>(builder: &mut GraphBuilder<'a>, node: &OnnxNode) -> ReadResult<Vec<OnnxValue<'a>>> {
    const UNSUPPORTED: &str = "an operator that Convoke does not have";
    let Some(operator) = find(&node.proto.domain, &node.proto.op_type) else { return unsupported(UNSUPPORTED) };
    if let Some(fold) = operator.fold.as_ref().filter(|_| builder.is_all_constant(node)) {
        return match fold {
            Fold::Constant(handler) => Ok(vec![OnnxValue::Constant(handler(builder, node)?)]),
            Fold::Constants(handler) => Ok(handler(builder, node)?.into_iter().map(OnnxValue::Constant).collect()),
            Fold::Values(handler) => handler(builder, node),
        };
    }
    let outputs = match &operator.import {
        Some(Import::Float(handler)) => vec![OnnxValue::Float(handler(builder, node)?)],
        Some(Import::Values(handler)) => handler(builder, node)?,
        None => return unsupported(format!("{UNSUPPORTED} for values computed by the network, only for constants")),
    };
    Ok(outputs.into_iter().map(|output| builder.held_like_input(node, output)).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The table of the documentation.
    fn table() -> String {
        let mut operators: Vec<&Operator> = OPERATORS.iter().collect();
        operators.sort_by_key(|operator| (operator.domain == Domain::Microsoft, operator.name.to_lowercase()));
        let mark = |is: bool| if is { "yes" } else { "" };
        let row = |operator: &&Operator| {
            let (import, fold) = (mark(operator.import.is_some()), mark(operator.fold.is_some()));
            format!("| {} | {import} | {fold} |\n", operator.full_name())
        };
        let rows: String = operators.iter().map(row).collect();
        format!("| operator | of values computed by the network | of constants |\n|---|---|---|\n{rows}")
    }

    #[test]
    fn the_documentation_lists_every_operator() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/format/onnx/operators.md");
        if std::env::var_os("CONVOKE_BLESS").is_some() {
            std::fs::write(&path, table()).unwrap();
        }
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(stored, table(), "write {} anew with CONVOKE_BLESS=1", path.display());
    }

    #[test]
    fn rows_are_unique_and_have_a_handler() {
        let names: BTreeSet<&str> = OPERATORS.iter().map(|operator| operator.name).collect();
        assert_eq!(names.len(), OPERATORS.len());
        assert!(OPERATORS.iter().all(|operator| operator.import.is_some() || operator.fold.is_some()));
    }

    #[test]
    fn vendors_domains_hold_quantized_operators_only() {
        assert!(find("", "Relu").is_some() && find("ai.onnx", "Relu").is_some());
        assert!(find("com.microsoft", "Relu").is_none());
        assert!(find("com.microsoft", "QGemm").is_some() && find("com.microsoft", "QuantizeLinear").is_some());
    }
}
