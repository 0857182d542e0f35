//! Matrix products of constants.

use super::super::builder::GraphBuilder;
use super::super::const_tensor::{ConstData, ConstTensor, broadcast, broadcast_index};
use super::super::node::{OnnxNode, ReadResult};
use super::elementwise::{ADD, MUL, binary};
use super::movement::transposed;

/// MatMul.
pub fn mat_mul(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    let (a, b) = (builder.constant(node, 0)?, builder.constant(node, 1)?);
    product(builder, node, &a, &b)
}

/// Gemm: `alpha * A * B + beta * C`, with A and B transposed by the attributes `transA` and `transB`.
pub fn gemm(builder: &mut GraphBuilder, node: &OnnxNode) -> ReadResult<ConstTensor> {
    let mut factor = |i: usize, name: &str| {
        let x = builder.constant(node, i)?;
        if node.flag(name, false)? { transposed(builder, node, &x, &[1, 0]) } else { Ok(x) }
    };
    let (a, b) = (factor(0, "transA")?, factor(1, "transB")?);
    let product = product(builder, node, &a, &b)?;
    let y = binary(builder, node, MUL, &product, &ConstTensor::scalar(node.float("alpha", 1.0)?))?;
    let Some(c) = builder.maybe_constant(node, 2)? else { return Ok(y) };
    let c = binary(builder, node, MUL, &c, &ConstTensor::scalar(node.float("beta", 1.0)?))?;
    binary(builder, node, ADD, &y, &c)
}

/// Multiplies the matrices in the last two dimensions of floats; the other dimensions broadcast. A vector is one row at
/// the left and one column at the right, and the result lacks its dimension.
pub fn product(
    builder: &mut GraphBuilder,
    node: &OnnxNode,
    a: &ConstTensor,
    b: &ConstTensor,
) -> ReadResult<ConstTensor> {
    let (Some(x), Some(y)) = (a.as_floats(), b.as_floats()) else {
        return Err(node.invalid("inputs", "floats", "integers"));
    };
    let left = if a.shape.len() == 1 { vec![1, a.shape[0]] } else { a.shape.clone() };
    let right = if b.shape.len() == 1 { vec![b.shape[0], 1] } else { b.shape.clone() };
    let wrong = || node.invalid("shapes", "matrices that fit", format!("{:?} and {:?}", a.shape, b.shape));
    let (&[ref outer @ .., m, k], &[ref outer_right @ .., k_right, n]) = (&left[..], &right[..]) else {
        return Err(wrong());
    };
    let batch = broadcast(outer, outer_right).filter(|_| k == k_right).ok_or_else(wrong)?;
    builder.charge(&[&batch[..], &[m, n]].concat(), 4)?;
    // One byte for each multiplication, because multiplications take time.
    builder.charge(&[&batch[..], &[m, n, k]].concat(), 1)?;
    let count = if m * n == 0 { 0 } else { batch.iter().product::<usize>() };
    let mut data = Vec::with_capacity(count * m * n);
    for s in 0..count {
        let (i, j) = (broadcast_index(s, &batch, outer) * m * k, broadcast_index(s, &batch, outer_right) * k * n);
        let dot =
            |r: usize, c: usize| (0..k).map(|p| f64::from(x[i + r * k + p]) * f64::from(y[j + p * n + c])).sum::<f64>();
        data.extend((0..m * n).map(|at| dot(at / n, at % n) as f32));
    }
    let ends = [(a.shape.len() > 1).then_some(m), (b.shape.len() > 1).then_some(n)];
    let shape = batch.into_iter().chain(ends.into_iter().flatten()).collect();
    Ok(ConstTensor { shape, data: ConstData::Float(data) })
}
