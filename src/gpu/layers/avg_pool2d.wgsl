// Average pooling. Whether zeros of the padding count in the mean is an attribute; rows that only ceil mode added never
// count.

override COUNT_PAD: bool = true;

fn ceil_div(a: i32, b: i32) -> i32 {
    return select(-(-a / b), (a + b - 1) / b, a > 0);
}

// How many of the window's taps at output `o` count, on one axis (0 height, 1 width).
fn taps(o: u32, axis: u32, input: u32) -> u32 {
    let before = step.pad[axis];
    let low = select(before, 0, COUNT_PAD);
    let high = before + i32(input) + select(0, step.pad_after[axis], COUNT_PAD);
    let first = i32(o * step.stride[axis]);
    let d = i32(step.dilation[axis]);
    let from_tap = max(0, ceil_div(low - first, d));
    let to_tap = min(i32(step.kernel[axis]), ceil_div(high - first, d));
    return u32(max(0, to_tap - from_tap));
}

fn weight(oy: u32, ox: u32) -> f32 {
    return 1.0 / f32(taps(oy, 0u, step.x.h) * taps(ox, 1u, step.x.w));
}

@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= step.blocks) {
        return;
    }
    let block = block_of(index, step.y);
    let n = block.pixel / (step.y.h * step.y.w);
    let oy = block.pixel / step.y.w % step.y.h;
    let ox = block.pixel % step.y.w;
    let share = weight(oy, ox);
    for (var c = block.c; c < block.c_end; c++) {
        var sum = 0.0;
        for (var ky = 0u; ky < step.kernel.x; ky++) {
            let iy = u32(i32(oy * step.stride.x + ky * step.dilation.x) - step.pad.x);
            for (var kx = 0u; kx < step.kernel.y; kx++) {
                let ix = u32(i32(ox * step.stride.y + kx * step.dilation.y) - step.pad.y);
                if (iy < step.x.h && ix < step.x.w) {
                    sum += arena[step.x.offset + ((n * step.x.h + iy) * step.x.w + ix) * step.x.pitch + c];
                }
            }
        }
        arena[step.y.offset + block.pixel * step.y.pitch + c] = sum * share;
    }
}

@compute @workgroup_size(WORKGROUP)
fn backward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= step.blocks) {
        return;
    }
    let block = block_of(index, step.x);
    let n = block.pixel / (step.x.h * step.x.w);
    let ty = u32(i32(block.pixel / step.x.w % step.x.h) + step.pad.x);
    let tx = u32(i32(block.pixel % step.x.w) + step.pad.y);
    let extent = (step.kernel - 1u) * step.dilation + 1u;
    let rows = windows(ty, step.stride.x, extent.x, step.y.h);
    let columns = windows(tx, step.stride.y, extent.y, step.y.w);
    var sum = vec4<f32>();
    let count = block.c_end - block.c;
    for (var oy = rows.x; oy < rows.y; oy++) {
        for (var ox = columns.x; ox < columns.y; ox++) {
            // With dilation a window has holes.
            let on_y = (ty - oy * step.stride.x) % step.dilation.x == 0u;
            let on_x = (tx - ox * step.stride.y) % step.dilation.y == 0u;
            if (on_y && on_x) {
                let at = step.dy.offset + ((n * step.y.h + oy) * step.y.w + ox) * step.dy.pitch + block.c;
                // What is beyond the last channel is not written.
                let dy = vec4<f32>(arena[at], arena[at + 1u], arena[at + 2u], arena[at + 3u]);
                sum += dy * weight(oy, ox);
            }
        }
    }
    write4(step.dx.offset + block.pixel * step.dx.pitch + block.c, sum, count);
}
