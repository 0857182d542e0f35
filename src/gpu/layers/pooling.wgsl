// What both poolings share. `x` and `y` are the input and output, `dx` and `dy` their gradients.
struct PoolUniforms {
    x: ViewUniforms,
    y: ViewUniforms,
    dx: ViewUniforms,
    dy: ViewUniforms,
    window: WindowUniforms,
    // Rows and columns of the padding after the input.
    pad_after: vec2<i32>,
    // Blocks of the result, for the whole batch.
    blocks: u32,
}

@group(0) @binding(4) var<uniform> uniforms: PoolUniforms;

// What one invocation computes: up to four channels of a pixel, which share the arithmetic of finding their windows.
struct Block {
    pixel: u32,
    c: u32,
    c_end: u32,
}

fn block_of(index: u32, p: ViewUniforms) -> Block {
    let blocks = (p.c + 3u) / 4u;
    let c = index % blocks * 4u;
    return Block(index / blocks, c, min(c + 4u, p.c));
}

// The windows of one axis (low, high) that may hold the input at `t` of the padded input.
fn windows(t: u32, stride: u32, extent: u32, outputs: u32) -> vec2<u32> {
    let low = select(0u, (t - extent) / stride + 1u, t >= extent);
    return vec2<u32>(low, min(outputs, t / stride + 1u));
}
