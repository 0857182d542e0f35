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
    let y = u32(i32(oy * step.stride.x) - step.pad.x);
    return Corner(step.x.offset + n * step.x.h * step.x.w * step.x.pitch, y, u32(i32(ox * step.stride.y) - step.pad.y));
}

// The address of the maximum of a window in channel c. Everything that does not change is read before the loops, and
// there are no branches in them: a software adapter runs both sides of each.
fn winner(at_corner: Corner, c: u32) -> u32 {
    let kernel = step.kernel;
    let dilation = step.dilation;
    let size = vec2<u32>(step.x.h, step.x.w);
    let pitch = step.x.pitch;
    let image = at_corner.image + c;
    var best = 0.0;
    var best_is_nan = false;
    var at = NONE;
    for (var ky = 0u; ky < kernel.x; ky++) {
        let iy = at_corner.iy + ky * dilation.x;
        for (var kx = 0u; kx < kernel.y; kx++) {
            let ix = at_corner.ix + kx * dilation.y;
            let here = image + (iy * size.y + ix) * pitch;
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
    if (index >= step.blocks) {
        return;
    }
    let block = block_of(index, step.y);
    let n = block.pixel / (step.y.h * step.y.w);
    let oy = block.pixel / step.y.w % step.y.h;
    let ox = block.pixel % step.y.w;
    let window = corner(n, oy, ox);
    let to = step.y.offset + block.pixel * step.y.pitch;
    for (var c = block.c; c < block.c_end; c++) {
        arena[to + c] = arena[winner(window, c)];
    }
}

// Each input asks every window that may hold it whether it is the maximum there: a gather, so nothing is written twice.
@compute @workgroup_size(WORKGROUP)
fn backward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= step.blocks) {
        return;
    }
    let block = block_of(index, step.x);
    let n = block.pixel / (step.x.h * step.x.w);
    let extent = (step.kernel - 1u) * step.dilation + 1u;
    let ty = u32(i32(block.pixel / step.x.w % step.x.h) + step.pad.x);
    let tx = u32(i32(block.pixel % step.x.w) + step.pad.y);
    let rows = windows(ty, step.stride.x, extent.x, step.y.h);
    let columns = windows(tx, step.stride.y, extent.y, step.y.w);
    for (var c = block.c; c < block.c_end; c++) {
        let me = step.x.offset + block.pixel * step.x.pitch + c;
        var sum = 0.0;
        for (var oy = rows.x; oy < rows.y; oy++) {
            for (var ox = columns.x; ox < columns.y; ox++) {
                if (winner(corner(n, oy, ox), c) == me) {
                    sum += arena[step.dy.offset + ((n * step.y.h + oy) * step.y.w + ox) * step.dy.pitch + c];
                }
            }
        }
        write(step.dx.offset + block.pixel * step.dx.pitch + c, sum);
    }
}

// Windows that neither overlap nor leave gaps: each looks for its maximum once and writes to all of its inputs.
@compute @workgroup_size(WORKGROUP)
fn backward_tiled(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= step.blocks) {
        return;
    }
    let block = block_of(index, step.y);
    let n = block.pixel / (step.y.h * step.y.w);
    let oy = block.pixel / step.y.w % step.y.h;
    let ox = block.pixel % step.y.w;
    let window = corner(n, oy, ox);
    let kernel = step.kernel;
    let place = vec3<u32>(step.x.w, step.x.pitch, step.dx.pitch);
    let first = (n * step.x.h + oy * kernel.x) * place.x + ox * kernel.y;
    let from_x = step.x.offset;
    let to = step.dx.offset;
    let dy = step.dy.offset + block.pixel * step.dy.pitch;
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
