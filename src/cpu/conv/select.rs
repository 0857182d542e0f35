//! Selection of the algorithm that computes a convolution.

use super::geometry::Geometry;
use super::winograd;
use crate::cpu::algorithm::{ActivationQuant, Algorithm, Prefer};
use crate::cpu::simd;
use crate::graph::value_range::nonnegative;
use crate::graph::{Graph, Node, Ranges};
use crate::plan::View;
use crate::tensor::quantized::{INPUT_LEVELS, WEIGHT_LEVELS};

/// Returns how the first input of a node is quantized.
pub(crate) fn activation_quant(graph: &Graph, ranges: &Ranges, node: usize) -> ActivationQuant {
    let Node { name, inputs, .. } = &graph.nodes()[node];
    match ranges.get(name) {
        None => ActivationQuant::None,
        Some(_) if simd::has_exact_dot_u8() && nonnegative(graph)[inputs[0].index()] => ActivationQuant::U8,
        Some(_) => ActivationQuant::I8,
    }
}

/// Returns the algorithm for a convolution between two views. It does not depend on the batch, so weights are packed once.
pub(crate) fn choose(
    geometry: &Geometry,
    x: View,
    y: View,
    prefer: Prefer,
    activation_quant: ActivationQuant,
) -> Algorithm {
    let possible = |algorithm| match algorithm {
        Algorithm::Direct => true,
        Algorithm::Winograd => winograd_can(geometry, x, y),
        Algorithm::Depthwise => depthwise_can(geometry, x, y),
        Algorithm::Int8 => activation_quant != ActivationQuant::None && int8_can(geometry, x),
    };
    match prefer {
        Prefer::Only(algorithm) if possible(algorithm) => algorithm,
        Prefer::Only(_) => Algorithm::Direct,
        _ if possible(Algorithm::Depthwise) => Algorithm::Depthwise,
        // Bytes are multiplied as fast as Winograd's transforms save multiplications of floats.
        Prefer::Speed
            if activation_quant == ActivationQuant::U8 && int8_can(geometry, x) && int8_pays(geometry, x, y) =>
        {
            Algorithm::Int8
        }
        Prefer::Speed if possible(Algorithm::Winograd) && winograd_pays(geometry, x, y) => Algorithm::Winograd,
        Prefer::Speed if possible(Algorithm::Int8) && int8_pays(geometry, x, y) => Algorithm::Int8,
        _ => Algorithm::Direct,
    }
}

/// Returns the algorithm for a linear layer, which has no map that is worth a transform.
pub(crate) fn linear(x: View, y: View, prefer: Prefer, activation_quant: ActivationQuant) -> Algorithm {
    match choose(&Geometry::linear(x), x, y, prefer, activation_quant) {
        Algorithm::Int8 => Algorithm::Int8,
        _ => Algorithm::Direct,
    }
}

/// Returns the lesser of the input and output channels of a group.
fn channels(geometry: &Geometry, x: View, y: View) -> usize {
    x.c.min(y.c) / geometry.groups
}

/// Tiles are transformed a vector of channels at a time, so a group must fill a vector.
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

/// True if no sum of products leaves 32 bits. Weights of files may be one beyond the levels.
fn int8_can(geometry: &Geometry, x: View) -> bool {
    let largest = (INPUT_LEVELS as usize) * (WEIGHT_LEVELS as usize + 1);
    let products = (x.c / geometry.groups).saturating_mul(geometry.kernel[0] * geometry.kernel[1]);
    products.saturating_mul(largest) <= i32::MAX as usize
}

/// True if quantizing the inputs, once each, takes little time beside the products of each input.
fn int8_pays(geometry: &Geometry, x: View, y: View) -> bool {
    let windows = geometry.kernel[0] * geometry.kernel[1] * y.h * y.w;
    x.c / geometry.groups >= 4 && y.c / geometry.groups * windows >= 32 * x.h * x.w
}
