//! Max pooling of constants, over any number of dimensions and with the indices of the maxima.

use super::super::builder::GraphBuilder;
use super::super::const_tensor::{ConstData, ConstTensor};
use super::super::node::{OnnxNode, ReadResult, unsupported};
use super::super::proto::DataType;

/// The pooling along one dimension.
struct PoolAxis {
    size: i64,
    kernel: i64,
    stride: i64,
    dilation: i64,
    pad_before: i64,
    /// The number of windows.
    windows: i64,
}

/// MaxPool of floats: the maxima and their indices. Attributes: `kernel_shape`, `strides`, `dilations`, `pads`,
/// `auto_pad`, `ceil_mode`, and `storage_order` for the indices.
pub fn max_pool(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<Vec<ConstTensor>> {
    let x = builder.constant(node, 0)?;
    let Some(values) = x.as_floats() else { return unsupported("max pooling of constant integers") };
    let [n, c, spatial @ ..] = &x.shape[..] else { return Err(node.invalid("input", "a batch of channels", "less")) };
    let axes = pool_axes(node, spatial)?;
    let product = |of: fn(&PoolAxis) -> i64| axes.iter().fold(1usize, |p, a| p.saturating_mul(of(a) as usize));
    let (windows, taps, area) = (product(|a| a.windows), product(|a| a.kernel), spatial.iter().product::<usize>());
    let shape: Vec<usize> = [*n, *c].into_iter().chain(axes.iter().map(|a| a.windows as usize)).collect();
    builder.charge(&shape, 16)?;
    // One byte for each comparison, because comparisons take time.
    builder.charge(&[n * c, windows, taps], 1)?;
    let is_column_major = node.flag("storage_order", false)?;
    let (mut maxima, mut indices) = (vec![], vec![]);
    for i in 0..shape.iter().product() {
        let (plane, window) = (i / windows, i % windows);
        let (mut best, mut index) = (f32::NEG_INFINITY, 0);
        for tap in 0..taps {
            let Some(at) = tap_position(&axes, window, tap, is_column_major) else { continue };
            let v = values[plane * area + at.position];
            if v > best || v.is_nan() {
                (best, index) = (v, plane * area + at.index);
            }
        }
        maxima.push(best);
        indices.push(index as i64);
    }
    let indices = ConstTensor { shape: shape.clone(), data: ConstData::Integer(indices, DataType::Int64) };
    Ok(vec![ConstTensor { shape, data: ConstData::Float(maxima) }, indices])
}

/// Where a tap of a window lies in its plane.
struct TapPosition {
    /// The flat position, row-major.
    position: usize,
    /// The position as the operator's second output counts it.
    index: usize,
}

/// Returns the position of a tap; `None` in the padding.
fn tap_position(axes: &[PoolAxis], mut window: usize, mut tap: usize, is_column_major: bool) -> Option<TapPosition> {
    let (mut position, mut stride, mut places) = (0, 1, vec![0; axes.len()]);
    for (a, axis) in axes.iter().enumerate().rev() {
        let (own, kernel) = (window as i64 % axis.windows, tap as i64 % axis.kernel);
        (window, tap) = (window / axis.windows as usize, tap / axis.kernel as usize);
        let place = own * axis.stride - axis.pad_before + kernel * axis.dilation;
        if !(0..axis.size).contains(&place) {
            return None;
        }
        position += place as usize * stride;
        stride *= axis.size as usize;
        places[a] = place as usize;
    }
    let column_major = || axes.iter().zip(&places).rev().fold(0, |sum, (axis, place)| sum * axis.size as usize + place);
    Some(TapPosition { position, index: if is_column_major { column_major() } else { position } })
}

fn pool_axes(node: &OnnxNode, spatial: &[usize]) -> ReadResult<Vec<PoolAxis>> {
    let rank = spatial.len();
    let list = |name: &str, count: usize, least: i64| {
        let values = node.ints(name).map_or(vec![least; count], <[i64]>::to_vec);
        let fits = values.len() == count && values.iter().all(|v| (least..=1 << 24).contains(v));
        let wrong = || node.invalid(format!("attribute `{name}`"), format!("{count} counts"), values.len());
        if fits { Ok(values) } else { Err(wrong()) }
    };
    let (kernel, strides) = (list("kernel_shape", rank, 1)?, list("strides", rank, 1)?);
    let (dilations, pads) = (list("dilations", rank, 1)?, list("pads", 2 * rank, 0)?);
    let auto_pad = node.string("auto_pad")?.unwrap_or_default();
    let ceil_mode = node.flag("ceil_mode", false)?;
    let axis = |a: usize| {
        let (size, kernel, stride, dilation) = (spatial[a] as i64, kernel[a], strides[a], dilations[a]);
        let extent = (kernel - 1) * dilation + 1;
        if auto_pad.starts_with("SAME") {
            let windows = (size + stride - 1) / stride;
            let pad = ((windows - 1) * stride + extent - size).max(0);
            let pad_before = if auto_pad == "SAME_LOWER" { (pad + 1) / 2 } else { pad / 2 };
            return PoolAxis { size, kernel, stride, dilation, pad_before, windows };
        }
        let (before, after) = if auto_pad == "VALID" { (0, 0) } else { (pads[a], pads[a + rank]) };
        let room = size + before + after - extent;
        let whole = if ceil_mode { (room + stride - 1).div_euclid(stride) } else { room.div_euclid(stride) };
        // No window begins in the padding after the values.
        let last = if whole * stride >= size + before { whole - 1 } else { whole };
        PoolAxis { size, kernel, stride, dilation, pad_before: before, windows: (last + 1).max(0) }
    };
    Ok((0..rank).map(axis).collect())
}
