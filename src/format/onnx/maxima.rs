//! Max pooling of constants, over any number of dimensions and with the places of the maxima.

use super::host::{Data, Host};
use super::node::{Op, Step, unsupported};
use super::proto::DataType;
use super::reader::Reader;

/// What happens along one dimension.
struct Axis {
    size: i64,
    kernel: i64,
    stride: i64,
    dilation: i64,
    before: i64,
    /// Windows.
    count: i64,
}

pub(super) fn max_pool<'a>(reader: &mut Reader<'a>, op: &Op<'a>) -> Step<Vec<Host>> {
    let x = reader.constant(op, 0)?;
    let Some(values) = x.to_floats() else { return unsupported("max pooling of constant integers") };
    let [n, c, spatial @ ..] = &x.shape[..] else { return Err(op.invalid("input", "a batch of channels", "less")) };
    let axes = axes(op, spatial)?;
    let product = |of: fn(&Axis) -> i64| axes.iter().fold(1usize, |p, a| p.saturating_mul(of(a) as usize));
    let (windows, taps, area) = (product(|a| a.count), product(|a| a.kernel), spatial.iter().product::<usize>());
    let shape: Vec<usize> = [*n, *c].into_iter().chain(axes.iter().map(|a| a.count as usize)).collect();
    reader.charge(&shape, 16)?;
    // As many bytes as comparisons: they take time.
    reader.charge(&[n * c, windows, taps], 1)?;
    let by_column = op.int("storage_order", 0)? != 0;
    let (mut maxima, mut places) = (vec![], vec![]);
    for i in 0..shape.iter().product() {
        let (plane, window) = (i / windows, i % windows);
        let (mut best, mut place) = (f32::NEG_INFINITY, 0);
        for tap in 0..taps {
            let Some((at, own)) = position(&axes, window, tap, by_column) else { continue };
            let v = values[plane * area + at];
            if v > best || v.is_nan() {
                (best, place) = (v, plane * area + own);
            }
        }
        maxima.push(best);
        places.push(place as i64);
    }
    let places = Host { shape: shape.clone(), data: Data::Int(places, DataType::Int64) };
    Ok(vec![Host { shape, data: Data::Float(maxima) }, places])
}

/// Where a tap of a window lies in its plane, and how that place is counted; `None` in the padding.
fn position(axes: &[Axis], mut window: usize, mut tap: usize, by_column: bool) -> Option<(usize, usize)> {
    let (mut at, mut stride, mut places) = (0, 1, vec![0; axes.len()]);
    for (a, axis) in axes.iter().enumerate().rev() {
        let (own, kernel) = (window as i64 % axis.count, tap as i64 % axis.kernel);
        (window, tap) = (window / axis.count as usize, tap / axis.kernel as usize);
        let place = own * axis.stride - axis.before + kernel * axis.dilation;
        if !(0..axis.size).contains(&place) {
            return None;
        }
        at += place as usize * stride;
        stride *= axis.size as usize;
        places[a] = place as usize;
    }
    let by_columns = || axes.iter().zip(&places).rev().fold(0, |sum, (axis, place)| sum * axis.size as usize + place);
    Some((at, if by_column { by_columns() } else { at }))
}

fn axes(op: &Op, spatial: &[usize]) -> Step<Vec<Axis>> {
    let rank = spatial.len();
    let list = |name: &str, count: usize, least: i64| {
        let values = op.ints(name).map_or(vec![least; count], <[i64]>::to_vec);
        let fits = values.len() == count && values.iter().all(|v| (least..=1 << 24).contains(v));
        if fits {
            Ok(values)
        } else {
            Err(op.invalid(format!("attribute `{name}`"), format!("{count} counts"), values.len()))
        }
    };
    let (kernel, strides) = (list("kernel_shape", rank, 1)?, list("strides", rank, 1)?);
    let (dilations, pads) = (list("dilations", rank, 1)?, list("pads", 2 * rank, 0)?);
    let auto = op.string("auto_pad")?.unwrap_or_default();
    let ceil = op.int("ceil_mode", 0)? != 0;
    let axis = |a: usize| {
        let (size, kernel, stride, dilation) = (spatial[a] as i64, kernel[a], strides[a], dilations[a]);
        let extent = (kernel - 1) * dilation + 1;
        if auto.starts_with("SAME") {
            let count = (size + stride - 1) / stride;
            let pad = ((count - 1) * stride + extent - size).max(0);
            let before = if auto == "SAME_LOWER" { (pad + 1) / 2 } else { pad / 2 };
            return Axis { size, kernel, stride, dilation, before, count };
        }
        let (before, after) = if auto == "VALID" { (0, 0) } else { (pads[a], pads[a + rank]) };
        let room = size + before + after - extent;
        let whole = if ceil { (room + stride - 1).div_euclid(stride) } else { room.div_euclid(stride) };
        // No window begins behind the values.
        let last = if whole * stride >= size + before { whole - 1 } else { whole };
        Axis { size, kernel, stride, dilation, before, count: (last + 1).max(0) }
    };
    Ok((0..rank).map(axis).collect())
}
