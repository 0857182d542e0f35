//! Poolings, in windows and over whole maps.

use super::linear::{unframed, window};
use super::node::{Op, Step, unsupported};
use super::reader::{Activation, Reader};
use crate::layers::{AvgPool2d, GlobalAvgPool, Layer, MaxPool2d, Window};

/// Pools with the layer of a window.
fn pool<'a, L: Into<Layer>>(reader: &mut Reader<'a>, op: &Op<'a>, layer: impl Fn(Window) -> L) -> Step<Activation> {
    let x = reader.activation(op, 0)?;
    let Some(kernel) = op.ints("kernel_shape") else {
        return Err(op.invalid("attribute `kernel_shape`", "a list", "none"));
    };
    let kernel: Vec<usize> = kernel.iter().map(|&k| usize::try_from(k).unwrap_or(0)).collect();
    let map = reader.frame(&x)?;
    let mut window = window(op, &kernel, &x)?;
    window.ceil_mode = op.int("ceil_mode", 0)? != 0;
    let y = reader.push(op, layer(window), &[map], vec![])?;
    Ok(unframed(y, &x))
}

pub(super) fn max<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    if op.has_output(1) {
        return unsupported("output `Indices`: no layer gives the places of maxima");
    }
    pool(reader, op, |window| MaxPool2d { window })
}

pub(super) fn average<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let count_include_pad = op.int("count_include_pad", 0)? != 0;
    pool(reader, op, |window| AvgPool2d { window, count_include_pad })
}

pub(super) fn global_average<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let x = reader.activation(op, 0)?;
    let map = reader.frame(&x)?;
    let y = reader.push(op, GlobalAvgPool {}, &[map], vec![])?;
    Ok(unframed(y, &x))
}

/// The maximum of each feature map: one window that covers it.
pub(super) fn global_max<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let x = reader.activation(op, 0)?;
    let map = reader.frame(&x)?;
    let (_, height, width) = reader.shape(map).chw();
    let window = Window { kernel: [height, width], ..Window::new(1) };
    let y = reader.push(op, MaxPool2d { window }, &[map], vec![])?;
    Ok(unframed(y, &x))
}

/// The mean over height and width, however it is written.
pub(super) fn reduce_mean<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Activation> {
    let x = reader.activation(op, 0)?;
    let axes = if op.opset < 18 { op.ints("axes").map(<[i64]>::to_vec) } else { reader.maybe_ints(op, 1)? };
    let rank = x.dims.len() + 1;
    let mut axes = axes.unwrap_or_default().into_iter().map(|a| op.axis(a, rank)).collect::<Step<Vec<usize>>>()?;
    axes.sort_unstable();
    if rank < 3 || !axes.iter().copied().eq(2..rank) {
        return unsupported(format!("axes: expected height and width of NxCxHxW, got {axes:?} of {}", x.text()));
    }
    let map = reader.frame(&x)?;
    let y = unframed(reader.push(op, GlobalAvgPool {}, &[map], vec![])?, &x);
    Ok(if op.int("keepdims", 1)? == 0 { y.view(vec![y.dims[0]]) } else { y })
}
