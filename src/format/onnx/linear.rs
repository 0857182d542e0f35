//! Convolutions and matrix products.

use std::sync::Arc;

use super::elementwise::{add, scaled};
use super::host::{Host, broadcast, broadcast_index};
use super::node::{Op, Step, Stop, unsupported};
use super::reader::{Activation, Reader};
use crate::graph::Param;
use crate::layers::{AdaptiveAvgPool2d, Conv2d, Linear, Padding, Window};
use crate::tensor::{Tensor, dims};

/// A convolution of weights `[out, in / groups, kh, kw]`, or `[out, in / groups, k]` over lines.
pub(super) fn conv<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let x = reader.activation(op, 0)?;
    let weight = reader.layer_weights(op, 1, false)?;
    let bias = bias(reader, op, 2)?;
    conv_of(reader, op, &x, weight, bias)
}

fn bias<'a>(reader: &mut Reader<'a>, op: &Op<'a>, i: usize) -> Step<Option<Tensor>> {
    if op.input(i).is_none() { Ok(None) } else { reader.weights(op, i).map(Some) }
}

/// The convolution of `op`'s attributes with these weights.
pub(super) fn conv_of<'a>(
    reader: &mut Reader<'a>,
    op: &Op<'a>,
    x: &Activation,
    weight: Arc<Param>,
    bias: Option<Tensor>,
) -> Step<Activation> {
    let map = reader.frame(op, x)?;
    let &[out_channels, _, ref kernel @ ..] = weight.shape() else {
        return unsupported(format!("weights: expected 3 or 4 dimensions, got {}", dims(weight.shape())));
    };
    let given = op.ints("kernel_shape").map(|k| k.iter().map(|&k| usize::try_from(k).unwrap_or(0)));
    if given.is_some_and(|given| !given.eq(kernel.iter().copied())) {
        return Err(op.invalid("attribute `kernel_shape`", format!("{} as the weights", dims(kernel)), "another"));
    }
    let window = window(op, kernel, x)?;
    let mut weight = weight;
    Arc::make_mut(&mut weight).shape_mut().resize(4, 1);
    let groups = op.int("group", 1)?;
    let groups = usize::try_from(groups).map_err(|_| op.invalid("attribute `group`", "1 or more", groups))?;
    let layer = Conv2d { out_channels, window, groups, bias: bias.is_some() };
    let y = reader.push(op, layer, &[map], std::iter::once(weight).chain(bias.map(Arc::from)).collect())?;
    Ok(unframed(y, x))
}

/// The map that a layer makes of [`Reader::frame`], with as many dimensions as `x` had.
pub(super) fn unframed(mut y: Activation, x: &Activation) -> Activation {
    y.dims.truncate(x.dims.len());
    y
}

/// An attribute with a number for each spatial dimension; of a line, the other dimension's is `missing`.
fn sides(op: &Op, name: &str, is_line: bool, missing: usize) -> Step<[usize; 2]> {
    if is_line { op.counts(name, missing).map(|[side]| [side, missing]) } else { op.counts(name, missing) }
}

/// Kernel, stride, dilation and padding for a value of one or two spatial dimensions, which is computed as its
/// [`Reader::frame`]; automatic padding in numbers.
pub(super) fn window(op: &Op, kernel: &[usize], x: &Activation) -> Step<Window> {
    let is_line = x.dims.len() == 2;
    let (kernel, input) = match (kernel, &x.dims[..]) {
        (&[h, w], &[_, ih, iw]) => ([h, w], [ih, iw]),
        (&[h], &[_, ih]) => ([h, 1], [ih, 1]),
        _ => {
            return unsupported(format!(
                "kernel: expected as many dimensions as in {}, got {}",
                x.text(),
                dims(kernel)
            ));
        }
    };
    let stride = sides(op, "strides", is_line, 1)?;
    let dilation = sides(op, "dilations", is_line, 1)?;
    let padding = Padding::Explicit([0; 4]);
    let mut window = Window { kernel, stride, padding, dilation, ceil_mode: false };
    if stride.contains(&0) || dilation.contains(&0) || kernel.contains(&0) {
        return Err(op.invalid("kernel, strides and dilations", "1 or more", "0"));
    }
    let auto = op.string("auto_pad")?.unwrap_or_default();
    window.padding = match auto.as_str() {
        "" | "NOTSET" if is_line => Padding::Explicit(op.counts("pads", 0).map(|[top, bottom]| [top, 0, bottom, 0])?),
        "" | "NOTSET" => Padding::Explicit(op.counts("pads", 0)?),
        "VALID" => Padding::NONE,
        "SAME_UPPER" | "SAME_LOWER" => {
            let [top, left, bottom, right] = Window { padding: Padding::Same, ..window }.pads(input);
            Padding::Explicit(if auto == "SAME_UPPER" {
                [top, left, bottom, right]
            } else {
                [bottom, right, top, left]
            })
        }
        other => return Err(op.invalid("attribute `auto_pad`", "NOTSET, VALID, SAME_UPPER or SAME_LOWER", other)),
    };
    Ok(window)
}

/// `alpha * x * B + beta * C`: a linear layer, whose weights take alpha and beta in.
pub(super) fn gemm<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let x = reader.activation(op, 0)?;
    if op.int("transA", 0)? != 0 {
        return unsupported("attribute `transA`: expected 0 (the first dimension is the batch), got 1");
    }
    let (alpha, beta) = (op.float("alpha", 1.0)?, op.float("beta", 1.0)?);
    let mut weight = reader.layer_weights(op, 1, op.int("transB", 0)? == 0)?;
    if alpha != 1.0 {
        Arc::make_mut(&mut weight).values_mut().data.iter_mut().for_each(|w| *w *= alpha);
    }
    let out = weight.shape().first().copied().unwrap_or(1);
    if op.input(2).is_some_and(|name| !reader.is_constant(name)) {
        let product = linear(reader, op, &x, weight, None)?;
        let c = reader.activation(op, 2)?;
        let c = if beta == 1.0 { c } else { scaled(reader, op, ".beta", &c, &Host::scalar(beta))? };
        return add(reader, op, &[product, c]);
    }
    let bias = match reader.maybe_constant(op, 2)? {
        None => None,
        Some(c) => Some(broadcast_bias(reader, op, &c, out)?.map(|c| c * beta)),
    };
    linear(reader, op, &x, weight, bias)
}

/// C of a Gemm as one value for each output.
fn broadcast_bias(reader: &mut Reader, op: &Op, c: &Host, out: usize) -> Step<Tensor> {
    let row = [1, out];
    let Some(values) = c.to_floats() else { return Err(op.invalid("input 2", "floats", "integers")) };
    if broadcast(&c.shape, &row).as_deref() != Some(&row) {
        return unsupported(format!("input C: expected a row of {out} values, got {}", dims(&c.shape)));
    }
    reader.charge(&row, 4)?;
    let data = (0..out).map(|i| values[broadcast_index(i, &row, &c.shape)]).collect();
    Ok(Tensor { shape: vec![out], data })
}

/// Weights in floats with the outputs first: a matrix `[in, out]` is to be transposed.
pub(super) fn outputs_first(reader: &mut Reader, weight: Tensor, transpose: bool) -> Step<Arc<Param>> {
    if transpose { transposed(reader, weight).map(Arc::from) } else { Ok(weight.into()) }
}

fn transposed(reader: &mut Reader, weight: Tensor) -> Step<Tensor> {
    let &[rows, columns] = &weight.shape[..] else {
        return unsupported(format!("weights: expected a matrix, got {}", dims(&weight.shape)));
    };
    reader.charge(&weight.shape, 4)?;
    let mut data = vec![0.0; weight.data.len()];
    for r in 0..rows {
        for c in 0..columns {
            data[c * rows + r] = weight.data[r * columns + c];
        }
    }
    Ok(Tensor { shape: vec![columns, rows], data })
}

/// A linear layer of weights `[out, in]`.
pub(super) fn linear<'a>(
    reader: &mut Reader<'a>,
    op: &Op<'a>,
    x: &Activation,
    weight: Arc<Param>,
    bias: Option<Tensor>,
) -> Step<Activation> {
    if weight.shape().len() != 2 {
        return unsupported(format!("weights: expected a matrix, got {}", dims(weight.shape())));
    }
    if x.dims.len() != 1 {
        return unsupported(format!("input shape: expected vectors NxF, got {}", x.text()));
    }
    let vector = reader.vector(op, x)?;
    let layer = Linear { out_features: weight.shape()[0], bias: bias.is_some() };
    reader.push(op, layer, &[vector], std::iter::once(weight).chain(bias.map(Arc::from)).collect())
}

/// A matrix product with a constant: a linear layer where the constant is on the right. Products with the matrices of
/// an adaptive average pooling, as Convoke writes them, are that pooling again.
pub(super) fn matmul<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    if op.input(0).is_some_and(|name| reader.is_constant(name)) {
        let matrix = reader.weights(op, 0)?;
        let x = reader.activation(op, 1)?;
        return adaptive(reader, op, &x, &matrix, 0);
    }
    let x = reader.activation(op, 0)?;
    let weight = reader.layer_weights(op, 1, true)?;
    if x.dims.len() == 3 {
        return adaptive(reader, op, &x, &weight.values(), 1);
    }
    linear(reader, op, &x, weight, None)
}

/// The pooling along `axis` (0 height, 1 width) that a matrix `[out, in]` of means describes.
fn adaptive<'a>(
    reader: &mut Reader<'a>,
    op: &Op<'a>,
    x: &Activation,
    matrix: &Tensor,
    axis: usize,
) -> Step<Activation> {
    let not_linear = || Stop::Unsupported(format!("input shapes: expected NxF times a matrix, got {}", x.text()));
    let map = reader.map(op, x).map_err(|_| not_linear())?;
    let mut output = [x.dims[1], x.dims[2]];
    let &[out, input] = &matrix.shape[..] else { return Err(not_linear()) };
    if input != output[axis] || out == 0 || *matrix != adaptive_matrix(out, input) {
        return Err(not_linear());
    }
    output[axis] = out;
    reader.push(op, AdaptiveAvgPool2d { output }, &[map], vec![])
}

/// The means of an adaptive average pooling of one axis, `[out, in]`.
pub(super) fn adaptive_matrix(out: usize, input: usize) -> Tensor {
    let mut matrix = Tensor::zeros([out, input]);
    for o in 0..out {
        let range = AdaptiveAvgPool2d::range(o, out, input);
        let mean = 1.0 / range.len() as f32;
        range.for_each(|i| matrix.data[o * input + i] = mean);
    }
    matrix
}
