//! Which algorithm computes a convolution.

/// How a convolution or linear layer is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Matrix multiplication over windows that are read where they lie. Computes everything.
    Direct,
    /// Winograd's F(4x4, 3x3) and F(2x2, 5x5): stride 1, with a quarter and a third of the multiplications.
    Winograd,
    /// Channel by channel, for convolutions with a group for each channel.
    Depthwise,
    /// Direct in integers: weights of 8 bits, inputs of 8 bits and a sign. Only where the range of the inputs is known.
    Int8,
}

impl Algorithm {
    /// Returns the name that tables show.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Direct => "direct",
            Algorithm::Winograd => "winograd",
            Algorithm::Depthwise => "depthwise",
            Algorithm::Int8 => "int8",
        }
    }
}

/// How activations are quantized, by what is known of their range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ActivationQuant {
    /// Range unknown: activations stay floats.
    None,
    /// Range known: activations are quantized to 8 bits and a sign, held in 16.
    I8,
    /// Range known and non-negative: activations are quantized to u8 where the CPU has an exact u8 x i8 dot product.
    U8,
}

/// Preference by which an engine chooses the algorithm of each layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prefer {
    /// The fastest algorithm. The largest rounding error of Winograd's algorithm, like the error of a direct sum, is below
    /// 2e-5 of a layer's root mean square at 256 input channels, but inputs outside a window contribute to it. Layers with
    /// known ranges may be computed in integers.
    #[default]
    Speed,
    /// The fastest algorithm that only adds up products of inputs and weights.
    Exactness,
    /// The given algorithm wherever it can compute the layer, else [`Algorithm::Direct`].
    Only(Algorithm),
}
