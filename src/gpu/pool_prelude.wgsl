// What both poolings share. `x` and `y` are the input and output, `dx` and `dy` their gradients.
struct Step {
    x: Place,
    y: Place,
    dx: Place,
    dy: Place,
    kernel: vec2<u32>,
    stride: vec2<u32>,
    pad: vec2<i32>,
    dilation: vec2<u32>,
    // Rows and columns of the padding after the input.
    pad_after: vec2<i32>,
    // Elements of the result, for the whole batch.
    elements: u32,
    unused: u32,
}

@group(0) @binding(4) var<uniform> step: Step;

// The windows of one axis (low, high) that may hold the input at `t` of the padded input.
fn windows(t: u32, stride: u32, extent: u32, outputs: u32) -> vec2<u32> {
    let low = select(0u, (t - extent) / stride + 1u, t >= extent);
    return vec2<u32>(low, min(outputs, t / stride + 1u));
}
