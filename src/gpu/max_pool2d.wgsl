// Max pooling. Padding never wins; the first of equal maxima does; so does NaN, as in the reference.

// The address of the maximum of the window at (oy, ox) of image `n`.
fn winner(n: u32, oy: u32, ox: u32, c: u32) -> u32 {
    var best = 0.0;
    var at = NONE;
    for (var ky = 0u; ky < step.kernel.x; ky++) {
        let iy = u32(i32(oy * step.stride.x + ky * step.dilation.x) - step.pad.x);
        for (var kx = 0u; kx < step.kernel.y; kx++) {
            let ix = u32(i32(ox * step.stride.y + kx * step.dilation.y) - step.pad.y);
            // Positions before the input are huge as unsigned numbers.
            if (iy < step.x.h && ix < step.x.w) {
                let here = step.x.offset + ((n * step.x.h + iy) * step.x.w + ix) * step.x.pitch + c;
                let v = arena[here];
                if (at == NONE || v > best || (is_nan(v) && !is_nan(best))) {
                    best = v;
                    at = here;
                }
            }
        }
    }
    return at;
}

@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= step.elements) {
        return;
    }
    let c = index % step.y.c;
    let pixel = index / step.y.c;
    let n = pixel / (step.y.h * step.y.w);
    let at = winner(n, pixel / step.y.w % step.y.h, pixel % step.y.w, c);
    arena[step.y.offset + pixel * step.y.pitch + c] = arena[at];
}

// Each input asks every window that may hold it whether it is the maximum there: a gather, so nothing is written twice.
@compute @workgroup_size(WORKGROUP)
fn backward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= step.elements) {
        return;
    }
    let c = index % step.x.c;
    let pixel = index / step.x.c;
    let n = pixel / (step.x.h * step.x.w);
    let me = step.x.offset + pixel * step.x.pitch + c;
    let extent = (step.kernel - 1u) * step.dilation + 1u;
    let rows = windows(u32(i32(pixel / step.x.w % step.x.h) + step.pad.x), step.stride.x, extent.x, step.y.h);
    let columns = windows(u32(i32(pixel % step.x.w) + step.pad.y), step.stride.y, extent.y, step.y.w);
    var sum = 0.0;
    for (var oy = rows.x; oy < rows.y; oy++) {
        for (var ox = columns.x; ox < columns.y; ox++) {
            if (winner(n, oy, ox, c) == me) {
                sum += arena[step.dy.offset + ((n * step.y.h + oy) * step.y.w + ox) * step.dy.pitch + c];
            }
        }
    }
    write(step.dx.offset + pixel * step.dx.pitch + c, sum);
}
