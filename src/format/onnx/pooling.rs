//! Poolings, in windows and over whole maps.

use super::elementwise::{combined, scaled};
use super::host::Host;
use super::linear::{unframed, window};
use super::node::{Op, Step, unsupported};
use super::reader::{Activation, Reader};
use crate::layers::{AvgPool2d, GlobalAvgPool, Layer, MaxPool2d, Window};

/// Pools with the layer of a window.
fn pool<'a>(reader: &mut Reader<'a>, op: &Op<'a>, x: &Activation, layer: &dyn Fn(Window) -> Layer) -> Step<Activation> {
    let Some(kernel) = op.ints("kernel_shape") else {
        return Err(op.invalid("attribute `kernel_shape`", "a list", "none"));
    };
    let kernel: Vec<usize> = kernel.iter().map(|&k| usize::try_from(k).unwrap_or(0)).collect();
    let map = reader.frame(op, x)?;
    let mut window = window(op, &kernel, x)?;
    window.ceil_mode = op.int("ceil_mode", 0)? != 0;
    let y = reader.push(op, layer(window), &[map], vec![])?;
    Ok(unframed(y, x))
}

pub(super) fn max<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let x = reader.activation(op, 0)?;
    pool(reader, op, &x, &|window| MaxPool2d { window }.into())
}

/// Means over windows or whole maps.
pub(super) fn average<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let x = reader.activation(op, 0)?;
    average_of(reader, op, &x)
}

/// The same of another value than the first input.
pub(super) fn average_of<'a>(reader: &mut Reader<'a>, op: &Op<'a>, x: &Activation) -> Step<Activation> {
    if op.proto.op_type.ends_with("GlobalAveragePool") {
        let map = reader.frame(op, x)?;
        let y = reader.push(op, GlobalAvgPool {}, &[map], vec![])?;
        return Ok(unframed(y, x));
    }
    let count_include_pad = op.int("count_include_pad", 0)? != 0;
    pool(reader, op, x, &|window| AvgPool2d { window, count_include_pad }.into())
}

/// The maximum of each feature map: one window that covers it.
pub(super) fn global_max<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let x = reader.activation(op, 0)?;
    let map = reader.frame(op, &x)?;
    let (_, height, width) = reader.shape(map).chw();
    let window = Window { kernel: [height, width], ..Window::new(1) };
    let y = reader.push(op, MaxPool2d { window }, &[map], vec![])?;
    Ok(unframed(y, &x))
}

/// Means and sums over any dimensions of a sample.
pub(super) fn reduce<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let mut x = reader.activation(op, 0)?;
    let is_sum = op.proto.op_type == "ReduceSum";
    let as_input = if is_sum { 13 } else { 18 };
    let axes = if op.opset < as_input { op.ints("axes").map(<[i64]>::to_vec) } else { reader.maybe_ints(op, 1)? };
    let rank = x.dims.len() + 1;
    let axes = axes.unwrap_or_default().into_iter().map(|a| op.axis(a, rank)).collect::<Step<Vec<usize>>>()?;
    if axes.is_empty() || axes.contains(&0) {
        return unsupported(format!("axes: expected some without the batch, got {axes:?} of {}", x.text()));
    }
    let count: usize = x.dims.iter().enumerate().filter(|(a, _)| axes.contains(&(a + 1))).map(|(_, &d)| d).product();
    x = spatial_mean(reader, op, &x, &axes)?;
    if axes.contains(&1) {
        let n = x.dims[0];
        reader.charge(&[n], 4)?;
        x = combined(reader, op, ".channels", &x, 1, vec![1.0 / n as f32; n])?;
    }
    if is_sum {
        x = scaled(reader, op, ".sum", &x, &Host::scalar(count as f32))?;
    }
    if op.int("keepdims", 1)? != 0 {
        return Ok(x);
    }
    Ok(x.view((1..rank).filter(|a| !axes.contains(a)).map(|a| x.dims[a - 1]).collect()))
}

/// Means over those of these axes that are height and width.
fn spatial_mean<'a>(reader: &mut Reader<'a>, op: &Op<'a>, x: &Activation, axes: &[usize]) -> Step<Activation> {
    let spatial = x.dims.len().saturating_sub(1);
    let is_mean = |a: usize| a > spatial || axes.contains(&(a + 1));
    if !axes.iter().any(|&a| a > 1) {
        return Ok(x.clone());
    }
    let map = reader.frame(op, x)?;
    let (_, h, w) = reader.shape(map).chw();
    let layer: Layer = if is_mean(1) && is_mean(2) {
        GlobalAvgPool {}.into()
    } else {
        let kernel = if is_mean(1) { [h, 1] } else { [1, w] };
        AvgPool2d { window: Window { kernel, ..Window::new(1) }, count_include_pad: false }.into()
    };
    let y = reader.push(op, layer, &[map], vec![])?;
    Ok(unframed(y, x))
}
