// Gradients of parameters.

@group(0) @binding(2) var<storage, read_write> grads: array<f32>;

// The gradient that earlier micro-batches of this step have accumulated, or 0.
fn accumulated(at: u32) -> f32 {
    return select(0.0, grads[at], control.accumulate_gradients == 1u);
}
