//! Arithmetic of values with each other and with constants, and activations with constants.

use std::sync::Arc;

use super::host::{Host, broadcast, broadcast_index};
use super::node::{Op, Step, Stop, unsupported};
use super::reader::{Activation, Reader, Val, vector_of};
use crate::graph::Value;
use crate::layers::{
    Add, BatchNorm2d, Clip, Conv2d, GlobalAvgPool, Layer, LeakyRelu, Linear, LocalResponseNorm, MaxPool2d, Mul,
    Padding, Relu, Sigmoid, Window,
};
use crate::tensor::{Tensor, dims};

/// `y = scale * x + shift` for each channel of a value.
pub(super) struct Affine {
    pub scale: Vec<f64>,
    pub shift: Vec<f64>,
}

/// An operand.
enum Operand {
    Act(Activation),
    Const(Host),
}

/// Add, Sub, Mul, Div and Sum.
pub(super) fn arithmetic<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let mut operands = (0..op.proto.input.len()).map(|i| operand(reader, op, i)).collect::<Step<Vec<_>>>()?;
    if let [Operand::Act(x), Operand::Const(c)] = &mut operands[..] {
        align_left(op, x, c)?;
    }
    let sole = sole_use(reader, op);
    let kind = op.proto.op_type.as_str();
    if kind == "Sum" {
        return sum(reader, op, operands);
    }
    let Ok([a, b]) = <[Operand; 2]>::try_from(operands) else {
        return Err(op.invalid("inputs", 2, op.proto.input.len()));
    };
    match (kind, a, b) {
        ("Add", Operand::Act(a), Operand::Act(b)) => add(reader, op, &[a, b]),
        ("Mul", Operand::Act(a), Operand::Act(b)) => multiply(reader, op, &a, &b),
        ("Sub", Operand::Act(a), Operand::Act(b)) => {
            let negative = negated(reader, op, &b)?;
            add(reader, op, &[a, negative])
        }
        ("Div", Operand::Act(a), Operand::Act(b)) => {
            let inverse = power(reader, op, ".inverse", &b, -1.0)?;
            multiply(reader, op, &a, &inverse)
        }
        ("Div", Operand::Const(c), Operand::Act(x)) => {
            let inverse = power(reader, op, ".inverse", &x, -1.0)?;
            scaled(reader, op, "", &inverse, &c)
        }
        (_, Operand::Act(x), Operand::Const(c)) => with_constant(reader, op, &x, &c, false, sole),
        (_, Operand::Const(c), Operand::Act(x)) => with_constant(reader, op, &x, &c, true, sole),
        _ => unsupported("an operation on constants"),
    }
}

/// `x^exponent` of positive numbers, by a local response normalisation over one channel: `x / (x^2)^beta`. Zero stays
/// zero, and of a negative number the sign stays.
fn power<'a>(reader: &mut Reader<'a>, op: &Op<'a>, suffix: &str, x: &Activation, exponent: f32) -> Step<Activation> {
    // A k that no square of a usable number feels keeps zero from being divided by itself.
    let layer = LocalResponseNorm { size: 1, alpha: 1.0, beta: (1.0 - exponent) / 2.0, k: 1e-30 };
    reader.elementwise(op, suffix, layer.into(), x)
}

fn operand<'a>(reader: &mut Reader<'a>, op: &Op<'a>, i: usize) -> Step<Operand> {
    match reader.input(op, i)? {
        Val::Act(x) => Ok(Operand::Act(x)),
        Val::Const(c) => Ok(Operand::Const(c)),
        Val::Coded(coded) => Ok(Operand::Const(reader.uncoded(&coded)?)),
        Val::Stored(proto) => Ok(Operand::Const(reader.decode(proto)?)),
        _ => unsupported(format!("input {i}: expected floats, got quantized values")),
    }
}

/// Before opset 7, `axis` said where the second shape begins in the first: ones are added at its right.
fn align_left(op: &Op, x: &Activation, c: &mut Host) -> Step {
    if op.opset < 7 && op.attribute("axis").is_some() {
        let rank = x.dims.len() + 1;
        let end = op.axis(op.int("axis", 0)?, rank)? + c.shape.len();
        c.shape.extend(std::iter::repeat_n(1, rank.saturating_sub(end)));
    }
    Ok(())
}

/// Whether the values that this node reads are read by no other (its own reading is over).
pub(super) fn sole_use(reader: &Reader, op: &Op) -> bool {
    op.proto.input.iter().all(|name| reader.left(name) == 0)
}

fn sum<'a>(reader: &mut Reader<'a>, op: &Op<'a>, operands: Vec<Operand>) -> Step<Activation> {
    let (mut acts, mut constants) = (vec![], vec![]);
    for operand in operands {
        match operand {
            Operand::Act(x) => acts.push(x),
            Operand::Const(c) => constants.push(c),
        }
    }
    let mut y = match &acts[..] {
        [] => return unsupported("a sum of constants"),
        [one] => one.view(one.dims.clone()),
        many => add(reader, op, many)?,
    };
    for c in constants {
        y = translated(reader, op, ".shift", &y, &c)?;
    }
    Ok(y)
}

/// The sum of values whose shapes broadcast to one.
pub(super) fn add<'a>(reader: &mut Reader<'a>, op: &Op<'a>, terms: &[Activation]) -> Step<Activation> {
    let (values, dims) = aligned(reader, op, terms)?;
    let value = reader.emit(op, "", Add {}, &values, vec![])?;
    Ok(Activation::new(value, &dims))
}

/// Forms of one shape of values that broadcast to one ONNX shape, and that shape. The batch is the first dimension of
/// all.
fn aligned<'a>(reader: &mut Reader<'a>, op: &Op<'a>, terms: &[Activation]) -> Step<(Vec<Value>, Vec<usize>)> {
    let first = &terms[0];
    let common = terms.iter().try_fold(first.dims.clone(), |common, term| {
        broadcast(&common, &term.dims).filter(|_| term.dims.len() == first.dims.len())
    });
    let Some(common) = common else {
        let shapes: Vec<String> = terms.iter().map(Activation::text).collect();
        return unsupported(format!("shapes: expected some that broadcast, got {}", shapes.join(" and ")));
    };
    let terms = terms.iter().map(|t| expanded(reader, op, t, &common)).collect::<Step<Vec<_>>>()?;
    let best: Vec<Value> = terms.iter().map(|t| reader.best_form(t)).collect();
    if best.iter().all(|&v| reader.shape(v) == reader.shape(best[0])) {
        return Ok((best, common));
    }
    let vectors = terms.iter().map(|t| reader.vector(op, t)).collect::<Step<_>>()?;
    Ok((vectors, common))
}

/// The value with its dimensions of one repeated: of pixels by the maximum over windows that each see one, of channels
/// by a convolution with ones.
fn expanded<'a>(reader: &mut Reader<'a>, op: &Op<'a>, x: &Activation, dims: &[usize]) -> Step<Activation> {
    let mut x = x.clone();
    for a in (1..dims.len()).filter(|&a| x.dims[a] != dims[a]).collect::<Vec<_>>() {
        let map = reader.frame(op, &x)?;
        let mut window = Window::new(1);
        window.kernel[a - 1] = dims[a];
        let [v, h] = window.kernel.map(|k| k - 1);
        window.padding = Padding::Explicit([v, h, v, h]);
        let value = reader.emit(op, ".repeated", MaxPool2d { window }, &[map], vec![])?;
        x.dims[a] = dims[a];
        x = Activation::new(value, &x.dims);
    }
    if x.dims == dims {
        return Ok(x);
    }
    reader.charge(&dims[..1], 4)?;
    let ones = vec![1.0; dims[0]];
    combined(reader, op, ".stacked", &x, dims[0], ones)
}

/// Sums of the channels of each pixel, or of the numbers of a vector, by weights `[out, in]`.
pub(super) fn combined<'a>(
    reader: &mut Reader<'a>,
    op: &Op<'a>,
    suffix: &str,
    x: &Activation,
    out: usize,
    data: Vec<f32>,
) -> Step<Activation> {
    let mut dims = x.dims.clone();
    dims[0] = out;
    let mut weight = Tensor { shape: vec![out, x.dims[0]], data };
    let value = if dims.len() == 1 {
        let layer = Linear { out_features: out, bias: false };
        let vector = reader.vector(op, x)?;
        reader.emit(op, suffix, layer, &[vector], vec![weight.into()])?
    } else {
        weight.shape.resize(4, 1);
        let layer = Conv2d { out_channels: out, window: Window::new(1), groups: 1, bias: false };
        let map = reader.channelled(op, x)?;
        reader.emit(op, suffix, layer, &[map], vec![weight.into()])?
    };
    Ok(Activation::new(value, &dims))
}

/// Each feature map less its mean and divided by its deviation, then scaled and shifted.
pub(super) fn instance_norm<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let x = reader.activation(op, 0)?;
    let (weight, bias) = (reader.weights(op, 1)?, reader.weights(op, 2)?);
    let map = reader.channelled(op, &x)?;
    let (c, h, w) = reader.shape(map).chw();
    let mean = reader.push(op, GlobalAvgPool {}, &[map], vec![])?;
    let minus = negated(reader, op, &mean)?;
    let centred = add(reader, op, &[Activation::new(map, &[c, h, w]), minus])?;
    let squares = multiply(reader, op, &centred, &centred)?;
    let variance = reader.push(op, GlobalAvgPool {}, &[reader.best_form(&squares)], vec![])?;
    let variance = translated(reader, op, ".epsilon", &variance, &Host::scalar(op.float("epsilon", 1e-5)?))?;
    let inverse = power(reader, op, ".inverse", &variance, -0.5)?;
    let normal = multiply(reader, op, &centred, &inverse)?;
    let [scale, shift] = [weight, bias].map(|t| t.data.iter().map(|&v| v.into()).collect::<Vec<f64>>());
    if [scale.len(), shift.len()] != [c; 2] {
        return Err(op.invalid("scale and B", format!("{c} values each"), scale.len()));
    }
    let value = reader.best_form(&normal);
    Ok(apply(reader, op, ".affine", &normal, value, Affine { scale, shift }, false)?.view(x.dims))
}

/// A product; one factor may have one value for each channel.
fn multiply<'a>(reader: &mut Reader<'a>, op: &Op<'a>, a: &Activation, b: &Activation) -> Step<Activation> {
    let scales = |x: &Activation, by: &Activation| x.dims.len() == 3 && by.dims == [x.dims[0], 1, 1];
    let (x, by) = if a.dims != b.dims && scales(b, a) { (b, a) } else { (a, b) };
    let (inputs, dims) = if x.dims != by.dims && scales(x, by) {
        (vec![reader.map(op, x)?, reader.map(op, by)?], x.dims.clone())
    } else {
        aligned(reader, op, &[x.clone(), by.clone()])?
    };
    let value = reader.emit(op, "", Mul {}, &inputs, vec![])?;
    Ok(Activation::new(value, &dims))
}

/// One everywhere.
pub(super) fn ones<'a>(reader: &mut Reader<'a>, op: &Op<'a>, x: &Activation) -> Step<Activation> {
    let (value, shift) = per_channel(reader, op, x, &Host::scalar(1.0))?;
    let affine = Affine { scale: vec![0.0; shift.len()], shift };
    apply(reader, op, ".ones", x, value, affine, false)
}

fn negated<'a>(reader: &mut Reader<'a>, op: &Op<'a>, x: &Activation) -> Step<Activation> {
    scaled(reader, op, ".negative", x, &Host::scalar(-1.0))
}

/// `c * x`, as a layer of its own.
pub(super) fn scaled<'a>(
    reader: &mut Reader<'a>,
    op: &Op<'a>,
    suffix: &str,
    x: &Activation,
    c: &Host,
) -> Step<Activation> {
    let (value, scale) = per_channel(reader, op, x, c)?;
    let affine = Affine { shift: vec![0.0; scale.len()], scale };
    apply(reader, op, suffix, x, value, affine, false)
}

/// `x + c`, as a layer of its own.
pub(super) fn translated<'a>(
    reader: &mut Reader<'a>,
    op: &Op<'a>,
    suffix: &str,
    x: &Activation,
    c: &Host,
) -> Step<Activation> {
    let (value, shift) = per_channel(reader, op, x, c)?;
    let affine = Affine { scale: vec![1.0; shift.len()], shift };
    apply(reader, op, suffix, x, value, affine, false)
}

fn with_constant<'a>(
    reader: &mut Reader<'a>,
    op: &Op<'a>,
    x: &Activation,
    c: &Host,
    constant_first: bool,
    sole: bool,
) -> Step<Activation> {
    let (value, c) = per_channel(reader, op, x, c)?;
    let n = c.len();
    let negative = |c: &[f64]| c.iter().map(|c| -c).collect();
    let affine = match op.proto.op_type.as_str() {
        "Add" => Affine { scale: vec![1.0; n], shift: c },
        "Sub" if constant_first => Affine { scale: vec![-1.0; n], shift: c },
        "Sub" => Affine { scale: vec![1.0; n], shift: negative(&c) },
        "Mul" => Affine { scale: c, shift: vec![0.0; n] },
        _ => Affine { scale: c.iter().map(|c| 1.0 / c).collect(), shift: vec![0.0; n] },
    };
    apply(reader, op, "", x, value, affine, sole)
}

/// A constant as one value for each channel of a form of `x`, and that form. The constant's shape is ONNX's: aligned at
/// the right with `x`'s, the batch included.
fn per_channel(reader: &mut Reader, op: &Op, x: &Activation, c: &Host) -> Step<(Value, Vec<f64>)> {
    let Some(values) = c.to_floats() else { return unsupported("a constant of integers") };
    let misfit = || {
        Stop::Unsupported(format!(
            "constant: expected a scalar or a value for each channel of {}, got shape {}",
            x.text(),
            dims(&c.shape)
        ))
    };
    if let [one] = values {
        if c.shape.len() > x.dims.len() + 1 {
            return Err(misfit());
        }
        let value = reader.best_form(x);
        let channels = reader.shape(value).chw().0;
        reader.charge(&[channels], 32)?;
        return Ok((value, vec![f64::from(*one); channels]));
    }
    let own: &[usize] = match c.shape.len().checked_sub(x.dims.len()) {
        Some(0) => &c.shape,
        Some(1) if c.shape[0] == 1 => &c.shape[1..],
        Some(_) => return Err(misfit()),
        None => &c.shape,
    };
    let fits = |(&c, &x): (&usize, &usize)| c == 1 || c == x;
    if !own.iter().rev().zip(x.dims.iter().rev()).all(fits) {
        return Err(misfit());
    }
    let channels_only = own.len() == x.dims.len() && own[1..].iter().all(|&d| d == 1);
    let full: &[usize] = &x.dims;
    let is_pixel = full.iter().skip(1).all(|&d| d == 1);
    let is_map = reader.shape(x.forms[0]).is_map() || !is_pixel;
    // A vector has a channel for each value.
    let (value, count) = match full {
        [channels, _, ..] if is_map && (channels_only || is_pixel) => (reader.channelled(op, x)?, *channels),
        _ => (reader.vector(op, x)?, x.elements()),
    };
    let area = x.elements() / count.max(1);
    reader.charge(&[count], 32)?;
    let at = |i: usize| f64::from(values[broadcast_index(i * area, full, own)]);
    Ok((value, (0..count).map(at).collect()))
}

/// An affine function of a form of `x`: folded into the layer that made it if nothing else reads that (`sole`), or a
/// batch normalisation without statistics.
pub(super) fn apply<'a>(
    reader: &mut Reader<'a>,
    op: &Op<'a>,
    suffix: &str,
    x: &Activation,
    value: Value,
    affine: Affine,
    sole: bool,
) -> Step<Activation> {
    if sole && x.fresh && x.forms == [value] && fold(reader, value, &affine) {
        return Ok(x.clone());
    }
    // `var + epsilon` is exactly 1.
    let epsilon = 2f32.powi(-20);
    let single = |v: &[f64]| vector_of(v.iter().map(|&v| v as f32).collect());
    let n = affine.scale.len();
    let params =
        vec![single(&affine.scale), single(&affine.shift), vector_of(vec![0.0; n]), vector_of(vec![1.0 - epsilon; n])];
    let layer = BatchNorm2d { epsilon, ..BatchNorm2d::default() };
    let params = params.into_iter().map(Arc::from).collect();
    let value = reader.emit(op, suffix, layer, &[value], params)?;
    Ok(Activation::new(value, &x.dims))
}

/// Takes an affine function into the weights of the layer that made `value`, if it has such weights.
fn fold(reader: &mut Reader, value: Value, affine: &Affine) -> bool {
    let Some((node, tensors)) = reader.producer(value) else { return false };
    match &mut node.layer {
        Layer::Conv2d(Conv2d { bias, .. }) | Layer::Linear(Linear { bias, .. }) => *bias = true,
        Layer::BatchNorm2d(_) => {}
        _ => return false,
    }
    let weight = tensors.get_mut(&format!("{}.weight", node.name)).expect("the layer has a weight");
    let weight = Arc::make_mut(weight).values_mut();
    let per_channel = weight.data.len() / affine.scale.len();
    for (i, w) in weight.data.iter_mut().enumerate() {
        *w = (f64::from(*w) * affine.scale[i / per_channel]) as f32;
    }
    let name = format!("{}.bias", node.name);
    if tensors.get(&name).is_none() {
        tensors.insert(name.clone(), Tensor::zeros([affine.scale.len()]).into());
    }
    let bias = Arc::make_mut(tensors.get_mut(&name).expect("it is there now")).values_mut();
    for (i, b) in bias.data.iter_mut().enumerate() {
        *b = (f64::from(*b) * affine.scale[i] + affine.shift[i]) as f32;
    }
    true
}

/// Bounds as attributes before opset 11, as inputs since; a missing one is the type's largest.
pub(super) fn clip<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let x = reader.activation(op, 0)?;
    let mut bound = |name, i, default: f32| match op.opset {
        ..11 => op.float(name, default),
        _ => match reader.maybe_constant(op, i)? {
            None => Ok(default),
            Some(host) => host
                .to_floats()
                .and_then(|v| v.first().copied())
                .ok_or_else(|| op.invalid(format!("input `{name}`"), "one float", "another constant")),
        },
    };
    // Infinity could not be stored in a model file.
    let finite = |v: f32| v.clamp(f32::MIN, f32::MAX);
    let (min, max) = (finite(bound("min", 1, f32::MIN)?), finite(bound("max", 2, f32::MAX)?));
    if min == 0.0 && max == f32::MAX {
        return reader.push_elementwise(op, Relu {}, &x);
    }
    // The upper bound wins.
    reader.push_elementwise(op, Clip { min: min.min(max), max }, &x)
}

pub(super) fn leaky_relu<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let x = reader.activation(op, 0)?;
    let slope = op.float("alpha", 0.01)?;
    match slope > 0.0 {
        true => reader.push_elementwise(op, LeakyRelu { slope }, &x),
        false => two_slopes(reader, op, &x, &Host::scalar(slope)),
    }
}

pub(super) fn prelu<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let x = reader.activation(op, 0)?;
    let mut slope = match operand(reader, op, 1)? {
        Operand::Const(slope) => slope,
        Operand::Act(slope) => return computed_slope(reader, op, &x, &slope),
    };
    if op.opset < 7 && slope.shape.len() == 1 && !x.dims.is_empty() {
        // One for each channel, before shapes were aligned at the right.
        slope.shape.extend(std::iter::repeat_n(1, x.dims.len() - 1));
    }
    match slope.to_floats() {
        Some(&[one]) if one > 0.0 => reader.push_elementwise(op, LeakyRelu { slope: one }, &x),
        _ => two_slopes(reader, op, &x, &slope),
    }
}

/// `max(x, 0) - slope * max(-x, 0)`, for slopes that no layer has: of any sign, one for each channel.
fn two_slopes<'a>(reader: &mut Reader<'a>, op: &Op<'a>, x: &Activation, slope: &Host) -> Step<Activation> {
    let [positive, negative] = halves(reader, op, x)?;
    let (value, slopes) = per_channel(reader, op, &negative, slope)?;
    let affine = Affine { shift: vec![0.0; slopes.len()], scale: slopes.into_iter().map(|s| -s).collect() };
    let negative = apply(reader, op, ".slope", &negative, value, affine, false)?;
    add(reader, op, &[positive, negative])
}

/// The same for slopes that the network computes.
fn computed_slope<'a>(reader: &mut Reader<'a>, op: &Op<'a>, x: &Activation, slope: &Activation) -> Step<Activation> {
    let [positive, negative] = halves(reader, op, x)?;
    let product = multiply(reader, op, &negative, slope)?;
    let negative = negated(reader, op, &product)?;
    add(reader, op, &[positive, negative])
}

/// `max(x, 0)` and `max(-x, 0)`.
fn halves<'a>(reader: &mut Reader<'a>, op: &Op<'a>, x: &Activation) -> Step<[Activation; 2]> {
    let positive = reader.elementwise(op, ".positive", Relu {}.into(), x)?;
    let minus = negated(reader, op, x)?;
    Ok([positive, reader.elementwise(op, ".rest", Relu {}.into(), &minus)?])
}

/// Functions of one value that no layer has, by those that layers have.
pub(super) fn function<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let x = reader.activation(op, 0)?;
    match op.proto.op_type.as_str() {
        "Pow" => pow(reader, op, &x),
        "Neg" => negated(reader, op, &x),
        "Abs" => {
            let halves = halves(reader, op, &x)?;
            add(reader, op, &halves)
        }
        "Sqrt" => root(reader, op, &x, 0.5),
        "Reciprocal" => power(reader, op, "", &x, -1.0),
        "Elu" => elu(reader, op, &x, op.float("alpha", 1.0)?),
        // Selu
        _ => {
            let elu = elu(reader, op, &x, op.float("alpha", 1.673_263_2)?)?;
            scaled(reader, op, ".gamma", &elu, &Host::scalar(op.float("gamma", 1.050_701)?))
        }
    }
}

/// A square, or any power of positive numbers.
fn pow<'a>(reader: &mut Reader<'a>, op: &Op<'a>, x: &Activation) -> Step<Activation> {
    match reader.constant(op, 1)?.into_tensor().data[..] {
        [2.0] => multiply(reader, op, x, x),
        [exponent] => root(reader, op, x, exponent),
        _ => unsupported("exponent: expected one number"),
    }
}

/// A power that negative numbers need not have.
fn root<'a>(reader: &mut Reader<'a>, op: &Op<'a>, x: &Activation, exponent: f32) -> Step<Activation> {
    if !reader.is_never_negative(reader.best_form(x)) {
        return unsupported(format!(
            "power {exponent}: expected numbers that are never negative, such as sums of squares"
        ));
    }
    power(reader, op, "", x, exponent)
}

/// `max(x, 0) + alpha * (exp(min(x, 0)) - 1)`, where `exp(x) = s / (1 - s)` for the sigmoid s of x.
fn elu<'a>(reader: &mut Reader<'a>, op: &Op<'a>, x: &Activation, alpha: f32) -> Step<Activation> {
    let [positive, negative] = halves(reader, op, x)?;
    // 1 - s, as the sigmoid of the rest.
    let sigmoid = reader.elementwise(op, ".sigmoid", Sigmoid {}.into(), &negative)?;
    let inverse = power(reader, op, ".inverse", &sigmoid, -1.0)?;
    // s / (1 - s) = 1 / (1 - s) - 1.
    let (value, scale) = per_channel(reader, op, &inverse, &Host::scalar(alpha))?;
    let affine = Affine { shift: scale.iter().map(|alpha| alpha * -2.0).collect(), scale };
    let negative = apply(reader, op, ".alpha", &inverse, value, affine, false)?;
    add(reader, op, &[positive, negative])
}

/// Max and Min of values, and of one bound.
pub(super) fn extreme<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let (mut y, mut bound): (Option<Activation>, _) = (None, None);
    for i in 0..op.proto.input.len() {
        y = match (operand(reader, op, i)?, y) {
            (Operand::Act(x), None) => Some(x),
            (Operand::Act(x), Some(y)) => Some(larger(reader, op, &y, &x)?),
            (Operand::Const(c), y) => {
                bound = Some(c);
                y
            }
        };
    }
    match (y, bound.as_ref().map(Host::to_floats)) {
        (Some(y), None) => Ok(y),
        (Some(y), Some(Some(&[bound]))) => {
            let (min, max) = if op.proto.op_type == "Max" { (bound, f32::MAX) } else { (f32::MIN, bound) };
            reader.push_elementwise(op, Clip { min, max }, &y)
        }
        _ => unsupported("bounds: expected values that the network computes, and one number"),
    }
}

/// `a + max(b - a, 0)`, or of Min `a - max(a - b, 0)`.
fn larger<'a>(reader: &mut Reader<'a>, op: &Op<'a>, a: &Activation, b: &Activation) -> Step<Activation> {
    let is_max = op.proto.op_type == "Max";
    let (from, minus) = if is_max { (b, a) } else { (a, b) };
    let minus = negated(reader, op, minus)?;
    let difference = add(reader, op, &[from.clone(), minus])?;
    let excess = reader.elementwise(op, ".excess", Relu {}.into(), &difference)?;
    let excess = if is_max { excess } else { negated(reader, op, &excess)? };
    add(reader, op, &[a.clone(), excess])
}
