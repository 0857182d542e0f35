// Max pooling. Padding never wins; the first of equal maxima does; so does NaN, as in the reference.

// Whether some window reaches beyond the input.
override PADDED: bool = true;

// A window: the input position of its first tap, which may be before the input, as wrapped numbers.
struct Corner {
    image: u32,
    iy: u32,
    ix: u32,
}

fn corner(n: u32, oy: u32, ox: u32) -> Corner {
    let y = u32(i32(oy * uniforms.window.stride.x) - uniforms.window.pad.x);
    return Corner(uniforms.x.offset + n * uniforms.x.h * uniforms.x.w * uniforms.x.pixel_stride, y, u32(i32(ox * uniforms.window.stride.y) - uniforms.window.pad.y));
}

// The address of the maximum of a window in channel c. Everything that does not change is read before the loops, and
// there are no branches in them: a software adapter runs both sides of each.
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
    let n = block.pixel / (uniforms.y.h * uniforms.y.w);
    let oy = block.pixel / uniforms.y.w % uniforms.y.h;
    let ox = block.pixel % uniforms.y.w;
    let window = corner(n, oy, ox);
    let to = uniforms.y.offset + block.pixel * uniforms.y.pixel_stride;
    for (var c = block.c; c < block.c_end; c++) {
        arena[to + c] = arena[winner(window, c)];
    }
}

// Each input asks every window that may hold it whether it is the maximum there: a gather, so nothing is written twice.
@compute @workgroup_size(WORKGROUP)
fn backward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= uniforms.blocks) {
        return;
    }
    let block = block_of(index, uniforms.x);
    let n = block.pixel / (uniforms.x.h * uniforms.x.w);
    let extent = (uniforms.window.kernel - 1u) * uniforms.window.dilation + 1u;
    let ty = u32(i32(block.pixel / uniforms.x.w % uniforms.x.h) + uniforms.window.pad.x);
    let tx = u32(i32(block.pixel % uniforms.x.w) + uniforms.window.pad.y);
    let rows = windows(ty, uniforms.window.stride.x, extent.x, uniforms.y.h);
    let columns = windows(tx, uniforms.window.stride.y, extent.y, uniforms.y.w);
    for (var c = block.c; c < block.c_end; c++) {
        let me = uniforms.x.offset + block.pixel * uniforms.x.pixel_stride + c;
        var sum = 0.0;
        for (var oy = rows.x; oy < rows.y; oy++) {
            for (var ox = columns.x; ox < columns.y; ox++) {
                if (winner(corner(n, oy, ox), c) == me) {
                    sum += arena[uniforms.dy.offset + ((n * uniforms.y.h + oy) * uniforms.y.w + ox) * uniforms.dy.pixel_stride + c];
                }
            }
        }
        write(uniforms.dx.offset + block.pixel * uniforms.dx.pixel_stride + c, sum);
    }
}

// Windows that neither overlap nor leave gaps: each looks for its maximum once and writes to all of its inputs.
@compute @workgroup_size(WORKGROUP)
fn backward_tiled(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= uniforms.blocks) {
        return;
    }
    let block = block_of(index, uniforms.y);
    let n = block.pixel / (uniforms.y.h * uniforms.y.w);
    let oy = block.pixel / uniforms.y.w % uniforms.y.h;
    let ox = block.pixel % uniforms.y.w;
    let window = corner(n, oy, ox);
    let kernel = uniforms.window.kernel;
    let place = vec3<u32>(uniforms.x.w, uniforms.x.pixel_stride, uniforms.dx.pixel_stride);
    let first = (n * uniforms.x.h + oy * kernel.x) * place.x + ox * kernel.y;
    let from_x = uniforms.x.offset;
    let to = uniforms.dx.offset;
    let dy = uniforms.dy.offset + block.pixel * uniforms.dy.pixel_stride;
    for (var c = block.c; c < block.c_end; c++) {
        let at = winner(window, c);
        let d = arena[dy + c];
        for (var ky = 0u; ky < kernel.x; ky++) {
            for (var kx = 0u; kx < kernel.y; kx++) {
                let pixel = first + ky * place.x + kx;
                write(to + pixel * place.z + c, select(0.0, d, from_x + pixel * place.y + c == at));
            }
        }
    }
}
