// Max pooling. The first of equal maxima wins, NaN wins over numbers, and padding never wins.

// Whether some window reaches beyond the input.
override PADDED: bool = true;

// The input position of the first tap of a window. Positions before the input wrap around.
struct Corner {
    image: u32,
    iy: u32,
    ix: u32,
}

fn corner(n: u32, oy: u32, ox: u32) -> Corner {
    let y = u32(i32(oy * uniforms.window.stride.x) - uniforms.window.pad.x);
    let x = u32(i32(ox * uniforms.window.stride.y) - uniforms.window.pad.y);
    return Corner(uniforms.x.offset + n * uniforms.x.h * uniforms.x.w * uniforms.x.pixel_stride, y, x);
}

// The address of the maximum of a window in channel c. Uniforms are read before the loops, and the loops have no
// branches, because a software adapter runs both sides of each.
fn winner(at_corner: Corner, c: u32) -> u32 {
    let kernel = uniforms.window.kernel;
    let dilation = uniforms.window.dilation;
    let size = vec2<u32>(uniforms.x.h, uniforms.x.w);
    let pixel_stride = uniforms.x.pixel_stride;
    let image = at_corner.image + c;
    var best = 0.0;
    var best_is_nan = false;
    var at = NONE;
    for (var ky = 0u; ky < kernel.x; ky++) {
        let iy = at_corner.iy + ky * dilation.x;
        for (var kx = 0u; kx < kernel.y; kx++) {
            let ix = at_corner.ix + kx * dilation.y;
            let here = image + (iy * size.y + ix) * pixel_stride;
            let v = arena[here];
            let v_is_nan = is_nan(v);
            var better = (at == NONE) | (v > best) | (v_is_nan & !best_is_nan);
            if (PADDED) {
                // Positions before the input are huge as unsigned numbers.
                better = better & (iy < size.x) & (ix < size.y);
            }
            best = select(best, v, better);
            best_is_nan = (best_is_nan & !better) | (v_is_nan & better);
            at = select(at, here, better);
        }
    }
    return at;
}

@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= uniforms.blocks) {
        return;
    }
    let block = block_of(index, uniforms.y);
    let o = output_of(block.pixel);
    let window = corner(o.n, o.y, o.x);
    let to = uniforms.y.offset + block.pixel * uniforms.y.pixel_stride;
    for (var c = block.c; c < block.c_end; c++) {
        arena[to + c] = arena[winner(window, c)];
    }
}

// Each input sums the gradients of the windows whose maximum it is. No two invocations write to one address.
@compute @workgroup_size(WORKGROUP)
fn backward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= uniforms.blocks) {
        return;
    }
    let block = block_of(index, uniforms.x);
    let input = input_of(block.pixel);
    for (var c = block.c; c < block.c_end; c++) {
        let me = uniforms.x.offset + block.pixel * uniforms.x.pixel_stride + c;
        var sum = 0.0;
        for (var oy = input.rows.x; oy < input.rows.y; oy++) {
            for (var ox = input.columns.x; ox < input.columns.y; ox++) {
                if (winner(corner(input.n, oy, ox), c) == me) {
                    let pixel = (input.n * uniforms.y.h + oy) * uniforms.y.w + ox;
                    sum += arena[uniforms.dy.offset + pixel * uniforms.dy.pixel_stride + c];
                }
            }
        }
        write(uniforms.dx.offset + block.pixel * uniforms.dx.pixel_stride + c, sum);
    }
}

// For windows that neither overlap nor leave gaps. Each window finds its maximum once and writes to all of its inputs.
@compute @workgroup_size(WORKGROUP)
fn backward_tiled(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= uniforms.blocks) {
        return;
    }
    let block = block_of(index, uniforms.y);
    let o = output_of(block.pixel);
    let window = corner(o.n, o.y, o.x);
    let kernel = uniforms.window.kernel;
    let width = uniforms.x.w;
    let stride_x = uniforms.x.pixel_stride;
    let stride_dx = uniforms.dx.pixel_stride;
    let first = (o.n * uniforms.x.h + o.y * kernel.x) * width + o.x * kernel.y;
    let from_x = uniforms.x.offset;
    let to = uniforms.dx.offset;
    let dy = uniforms.dy.offset + block.pixel * uniforms.dy.pixel_stride;
    for (var c = block.c; c < block.c_end; c++) {
        let at = winner(window, c);
        let d = arena[dy + c];
        for (var ky = 0u; ky < kernel.x; ky++) {
            for (var kx = 0u; kx < kernel.y; kx++) {
                let pixel = first + ky * width + kx;
                write(to + pixel * stride_dx + c, select(0.0, d, from_x + pixel * stride_x + c == at));
            }
        }
    }
}
