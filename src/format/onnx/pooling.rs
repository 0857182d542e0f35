//! Poolings, in windows and over whole maps.

use super::linear::window;
use super::node::{Op, Step, unsupported};
use super::reader::{Activation, Reader};
use crate::layers::{AvgPool2d, GlobalAvgPool, MaxPool2d, Window};

/// A pooling's input, as a map, and its window.
fn pool<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<(crate::graph::Value, Window)> {
    let x = reader.activation(op, 0)?;
    if op.ints("kernel_shape").is_none() {
        return Err(op.invalid("attribute `kernel_shape`", "a list", "none"));
    }
    let kernel = op.counts::<2>("kernel_shape", 1)?;
    let map = reader.map(&x)?;
    let mut window = window(op, kernel, [x.dims[1], x.dims[2]])?;
    window.ceil_mode = op.int("ceil_mode", 0)? != 0;
    Ok((map, window))
}

pub(super) fn max<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let (map, window) = pool(reader, op)?;
    if op.has_output(1) {
        return unsupported("output `Indices`: no layer gives the places of maxima");
    }
    reader.push(op, MaxPool2d { window }, &[map], vec![])
}

pub(super) fn average<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let (map, window) = pool(reader, op)?;
    let count_include_pad = op.int("count_include_pad", 0)? != 0;
    reader.push(op, AvgPool2d { window, count_include_pad }, &[map], vec![])
}

pub(super) fn global_average<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let x = reader.activation(op, 0)?;
    let map = reader.map(&x)?;
    reader.push(op, GlobalAvgPool {}, &[map], vec![])
}

/// The maximum of each feature map: one window that covers it.
pub(super) fn global_max<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let x = reader.activation(op, 0)?;
    let map = reader.map(&x)?;
    let window = Window { kernel: [x.dims[1], x.dims[2]], ..Window::new(1) };
    reader.push(op, MaxPool2d { window }, &[map], vec![])
}

/// The mean over height and width, however it is written.
pub(super) fn reduce_mean<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let x = reader.activation(op, 0)?;
    let axes = if op.opset < 18 { op.ints("axes").map(<[i64]>::to_vec) } else { reader.maybe_ints(op, 1)? };
    let rank = x.dims.len() + 1;
    let mut axes = axes.unwrap_or_default().into_iter().map(|a| op.axis(a, rank)).collect::<Step<Vec<usize>>>()?;
    axes.sort_unstable();
    if rank != 4 || axes != [2, 3] {
        return unsupported(format!("axes: expected height and width of NxCxHxW, got {axes:?} of {}", x.text()));
    }
    let map = reader.map(&x)?;
    let y = reader.push(op, GlobalAvgPool {}, &[map], vec![])?;
    Ok(if op.int("keepdims", 1)? == 0 { y.view(vec![y.dims[0]]) } else { y })
}
