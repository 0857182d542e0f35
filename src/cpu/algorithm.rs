//! Which algorithm computes a convolution.

use super::conv2d::Geometry;
use super::simd;
use super::winograd;
use crate::graph::value_range::nonnegative;
use crate::graph::{Graph, Node, Ranges};
use crate::plan::View;
use crate::tensor::quantized::{INPUT_LEVELS, WEIGHT_LEVELS};

/// How a convolution or linear layer is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Matrix multiplication over windows that are read where they lie. Computes everything.
    Direct,
    /// Winograd's F(4x4, 3x3) and F(2x2, 5x5): stride 1, with a quarter and a third of the multiplications.
    Winograd,
    /// Channel by channel: as many groups as channels.
    Depthwise,
    /// Direct in integers: weights of 8 bits, inputs of 8 bits and a sign. Only where the range of the inputs is known.
    Int8,
}

impl Algorithm {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Direct => "direct",
            Algorithm::Winograd => "winograd",
            Algorithm::Depthwise => "depthwise",
            Algorithm::Int8 => "int8",
        }
    }
}

/// What is known of a layer's inputs, for computing in integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calibrated {
    /// Not how large they are.
    No,
    /// How large.
    Signed,
    /// That, and that none is negative: a code is a byte, where [`simd::quads`] multiplies such.
    Bytes,
}

impl Calibrated {
    /// Of a node's first input.
    pub(super) fn of(graph: &Graph, ranges: &Ranges, node: usize) -> Self {
        let Node { name, inputs, .. } = &graph.nodes()[node];
        match ranges.get(name) {
            None => Calibrated::No,
            Some(_) if simd::quads() && nonnegative(graph)[inputs[0].index()] => Calibrated::Bytes,
            Some(_) => Calibrated::Signed,
        }
    }
}

/// What an engine goes by when it chooses the algorithm of each layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prefer {
    /// The fastest. Winograd's largest rounding error, like a direct sum's, is below 2e-5 of a layer's root mean square at
    /// 256 input channels, but it is another one: inputs that a window does not see disturb it too. Layers
    /// with known ranges may be computed in integers.
    #[default]
    Speed,
    /// The fastest of those that only add up products of inputs and weights.
    Exactness,
    /// This one wherever it can compute the layer, else [`Algorithm::Direct`].
    Only(Algorithm),
}

/// The algorithm for a convolution from one place to another. It does not depend on the batch, so weights are packed once.
pub(super) fn choose(geometry: &Geometry, x: View, y: View, prefer: Prefer, calibrated: Calibrated) -> Algorithm {
    let possible = |algorithm| match algorithm {
        Algorithm::Direct => true,
        Algorithm::Winograd => winograd_can(geometry, x, y),
        Algorithm::Depthwise => depthwise_can(geometry, x, y),
        Algorithm::Int8 => calibrated != Calibrated::No && int8_can(geometry, x),
    };
    match prefer {
        Prefer::Only(algorithm) if possible(algorithm) => algorithm,
        Prefer::Only(_) => Algorithm::Direct,
        _ if possible(Algorithm::Depthwise) => Algorithm::Depthwise,
        // Bytes are multiplied as fast as Winograd's transforms save multiplications of floats.
        Prefer::Speed if calibrated == Calibrated::Bytes && int8_can(geometry, x) && int8_pays(geometry, x, y) => {
            Algorithm::Int8
        }
        Prefer::Speed if possible(Algorithm::Winograd) && winograd_pays(geometry, x, y) => Algorithm::Winograd,
        Prefer::Speed if possible(Algorithm::Int8) && int8_pays(geometry, x, y) => Algorithm::Int8,
        _ => Algorithm::Direct,
    }
}

/// Input or output channels of a group, whichever are fewer.
fn channels(geometry: &Geometry, x: View, y: View) -> usize {
    x.c.min(y.c) / geometry.groups
}

/// Tiles are transformed a vector of channels at a time, so a group must have as many channels as lanes.
fn winograd_can(geometry: &Geometry, x: View, y: View) -> bool {
    let &Geometry { kernel, stride, dilation, .. } = geometry;
    let kernels = [[3; 2], [5; 2]];
    (stride, dilation) == ([1; 2], [1; 2]) && kernels.contains(&kernel) && channels(geometry, x, y) >= simd::lanes()
}

/// With few channels the transforms cost more than the multiplications they save, and a map much smaller than a tile
/// wastes most of it: at least a quarter of the multiplications must be saved.
fn winograd_pays(geometry: &Geometry, x: View, y: View) -> bool {
    let kernel = geometry.kernel[0];
    let out = winograd::outputs(kernel);
    let products = winograd::PLANES * y.h.div_ceil(out) * y.w.div_ceil(out);
    channels(geometry, x, y) >= 16 && 4 * products <= 3 * kernel * kernel * y.h * y.w
}

fn depthwise_can(geometry: &Geometry, x: View, y: View) -> bool {
    geometry.groups == x.c && x.c == y.c && x.c > 1
}

/// No sum of products may leave 32 bits; files bring codes that are one beyond the levels.
fn int8_can(geometry: &Geometry, x: View) -> bool {
    let largest = (INPUT_LEVELS as usize) * (WEIGHT_LEVELS as usize + 1);
    let products = (x.c / geometry.groups).saturating_mul(geometry.kernel[0] * geometry.kernel[1]);
    products.saturating_mul(largest) <= i32::MAX as usize
}

/// Each input is rounded once, which must be little beside the products it takes part in.
fn int8_pays(geometry: &Geometry, x: View, y: View) -> bool {
    let windows = geometry.kernel[0] * geometry.kernel[1] * y.h * y.w;
    x.c / geometry.groups >= 4 && y.c / geometry.groups * windows >= 32 * x.h * x.w
}
