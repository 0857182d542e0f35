//! Layers without weights, batch normalisation, and activations: one file each.

pub(crate) mod add;
pub(crate) mod avg_pool2d;
pub(crate) mod batch_norm2d;
pub(crate) mod concat;
pub(crate) mod dropout;
pub(crate) mod elementwise;
pub(crate) mod flatten;
pub(crate) mod hard_swish;
pub(crate) mod local_response_norm;
pub(crate) mod log_softmax;
pub(crate) mod max_pool2d;
pub(crate) mod mul;
pub(crate) mod permute;
pub(crate) mod pooling;
pub(crate) mod rearrange;
pub(crate) mod softmax;
