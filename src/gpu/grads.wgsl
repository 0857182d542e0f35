// Gradients of parameters.

@group(0) @binding(2) var<storage, read_write> grads: array<f32>;

// What the parts of this step before left there.
fn accumulated(at: u32) -> f32 {
    return select(0.0, grads[at], control.accumulate_gradients == 1u);
}
