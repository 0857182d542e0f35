// Average pooling. Rows and columns that only ceil mode added never count in a mean.

// Whether zeros of the padding count in a mean.
override COUNT_PAD: bool = true;

fn ceil_div(a: i32, b: i32) -> i32 {
    return select(-(-a / b), (a + b - 1) / b, a > 0);
}

// The number of taps that count in the mean at output `o`, on one axis (0 vertical, 1 horizontal).
fn taps(o: u32, axis: u32, input: u32) -> u32 {
    let before = uniforms.window.pad[axis];
    let low = select(before, 0, COUNT_PAD);
    let high = before + i32(input) + select(0, uniforms.pad_after[axis], COUNT_PAD);
    let first = i32(o * uniforms.window.stride[axis]);
    let d = i32(uniforms.window.dilation[axis]);
    let from_tap = max(0, ceil_div(low - first, d));
    let to_tap = min(i32(uniforms.window.kernel[axis]), ceil_div(high - first, d));
    return u32(max(0, to_tap - from_tap));
}

fn weight(oy: u32, ox: u32) -> f32 {
    return 1.0 / f32(taps(oy, 0u, uniforms.x.h) * taps(ox, 1u, uniforms.x.w));
}

@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= uniforms.blocks) {
        return;
    }
    let block = block_of(index, uniforms.y);
    let o = output_of(block.pixel);
    let share = weight(o.y, o.x);
    for (var c = block.c; c < block.c_end; c++) {
        var sum = 0.0;
        for (var ky = 0u; ky < uniforms.window.kernel.x; ky++) {
            let ty = o.y * uniforms.window.stride.x + ky * uniforms.window.dilation.x;
            let iy = u32(i32(ty) - uniforms.window.pad.x);
            for (var kx = 0u; kx < uniforms.window.kernel.y; kx++) {
                let tx = o.x * uniforms.window.stride.y + kx * uniforms.window.dilation.y;
                let ix = u32(i32(tx) - uniforms.window.pad.y);
                if (iy < uniforms.x.h && ix < uniforms.x.w) {
                    let pixel = (o.n * uniforms.x.h + iy) * uniforms.x.w + ix;
                    sum += arena[uniforms.x.offset + pixel * uniforms.x.pixel_stride + c];
                }
            }
        }
        arena[uniforms.y.offset + block.pixel * uniforms.y.pixel_stride + c] = sum * share;
    }
}

@compute @workgroup_size(WORKGROUP)
fn backward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= uniforms.blocks) {
        return;
    }
    let block = block_of(index, uniforms.x);
    let input = input_of(block.pixel);
    var sum = vec4<f32>();
    let count = block.c_end - block.c;
    for (var oy = input.rows.x; oy < input.rows.y; oy++) {
        for (var ox = input.columns.x; ox < input.columns.y; ox++) {
            // With dilation a window has holes.
            let on_y = (input.y - oy * uniforms.window.stride.x) % uniforms.window.dilation.x == 0u;
            let on_x = (input.x - ox * uniforms.window.stride.y) % uniforms.window.dilation.y == 0u;
            if (on_y && on_x) {
                let pixel = (input.n * uniforms.y.h + oy) * uniforms.y.w + ox;
                let at = uniforms.dy.offset + pixel * uniforms.dy.pixel_stride + block.c;
                // Components beyond the last channel are not written.
                let dy = vec4<f32>(arena[at], arena[at + 1u], arena[at + 2u], arena[at + 3u]);
                sum += dy * weight(oy, ox);
            }
        }
    }
    write4(uniforms.dx.offset + block.pixel * uniforms.dx.pixel_stride + block.c, sum, count);
}
