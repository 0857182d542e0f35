//! Which algorithm computes a convolution.

use super::conv2d::Geometry;
use super::simd;
use crate::plan::Place;

/// How a convolution or linear layer is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Matrix multiplication over windows that are read where they lie. Computes everything.
    Direct,
    /// Winograd's F(4x4, 3x3): 3x3, stride 1, with a quarter of the multiplications.
    Winograd,
    /// Channel by channel: as many groups as channels.
    Depthwise,
}

impl Algorithm {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Direct => "direct",
            Algorithm::Winograd => "winograd",
            Algorithm::Depthwise => "depthwise",
        }
    }
}

/// What an engine goes by when it chooses the algorithm of each layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prefer {
    /// The fastest. Winograd's largest rounding error, like a direct sum's, is below 2e-5 of a layer's root mean square at
    /// 256 input channels, but it is another one: inputs that a window does not see disturb it too.
    #[default]
    Speed,
    /// The fastest of those that only add up products of inputs and weights.
    Exactness,
    /// This one wherever it can compute the layer, else [`Algorithm::Direct`].
    Only(Algorithm),
}

/// The algorithm for a convolution from one place to another. It does not depend on the batch, so weights are packed once.
pub(super) fn choose(geometry: &Geometry, x: Place, y: Place, prefer: Prefer) -> Algorithm {
    let possible = |algorithm| match algorithm {
        Algorithm::Direct => true,
        Algorithm::Winograd => winograd_can(geometry, x, y),
        Algorithm::Depthwise => depthwise_can(geometry, x, y),
    };
    match prefer {
        Prefer::Only(algorithm) if possible(algorithm) => algorithm,
        Prefer::Only(_) => Algorithm::Direct,
        _ if possible(Algorithm::Depthwise) => Algorithm::Depthwise,
        Prefer::Speed if possible(Algorithm::Winograd) && winograd_pays(x, y) => Algorithm::Winograd,
        _ => Algorithm::Direct,
    }
}

/// Tiles are transformed a vector of channels at a time, so there must be as many channels as lanes.
fn winograd_can(geometry: &Geometry, x: Place, y: Place) -> bool {
    let &Geometry { kernel, stride, dilation, groups, .. } = geometry;
    (kernel, stride, dilation, groups) == ([3; 2], [1; 2], [1; 2], 1) && x.c.min(y.c) >= simd::lanes()
}

/// With few channels the transforms cost more than the multiplications they save, and a map much smaller than a tile
/// wastes most of it.
fn winograd_pays(x: Place, y: Place) -> bool {
    let tiles = y.h.div_ceil(4) * y.w.div_ceil(4);
    x.c.min(y.c) >= 16 && 3 * y.h * y.w >= 16 * tiles
}

fn depthwise_can(geometry: &Geometry, x: Place, y: Place) -> bool {
    geometry.groups == x.c && x.c == y.c && x.c > 1
}
