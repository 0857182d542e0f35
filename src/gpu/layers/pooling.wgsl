// Declarations that max and average pooling share. `x` and `y` are input and output, `dx` and `dy` their gradients.
struct PoolUniforms {
    x: ViewUniforms,
    y: ViewUniforms,
    dx: ViewUniforms,
    dy: ViewUniforms,
    window: WindowUniforms,
    // Padding below and to the right of the input.
    pad_after: vec2<i32>,
    // Blocks of the result, for the whole batch.
    blocks: u32,
}

@group(0) @binding(4) var<uniform> uniforms: PoolUniforms;

// The work of one invocation: up to four channels of a pixel, which share the arithmetic for their windows.
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

// The range of windows on one axis that may contain position `t` of the padded input.
fn windows(t: u32, stride: u32, extent: u32, outputs: u32) -> vec2<u32> {
    let low = select(0u, (t - extent) / stride + 1u, t >= extent);
    return vec2<u32>(low, min(outputs, t / stride + 1u));
}

// An output pixel.
struct Output {
    n: u32,
    y: u32,
    x: u32,
}

fn output_of(pixel: u32) -> Output {
    let row = pixel / uniforms.y.w;
    return Output(row / uniforms.y.h, row % uniforms.y.h, pixel % uniforms.y.w);
}

// An input pixel: its sample, its position in the padded input, and the ranges of windows that may contain it.
struct Input {
    n: u32,
    y: u32,
    x: u32,
    rows: vec2<u32>,
    columns: vec2<u32>,
}

fn input_of(pixel: u32) -> Input {
    let row = pixel / uniforms.x.w;
    let y = u32(i32(row % uniforms.x.h) + uniforms.window.pad.x);
    let x = u32(i32(pixel % uniforms.x.w) + uniforms.window.pad.y);
    let extent = (uniforms.window.kernel - 1u) * uniforms.window.dilation + 1u;
    let rows = windows(y, uniforms.window.stride.x, extent.x, uniforms.y.h);
    let columns = windows(x, uniforms.window.stride.y, extent.y, uniforms.y.w);
    return Input(row / uniforms.x.h, y, x, rows, columns);
}
