// Convolution in which every group has one input channel: a direct sum over taps. Weights lie as [tap][output channel].

struct Step {
    x: Place,
    y: Place,
    kernel: vec2<u32>,
    stride: vec2<u32>,
    pad: vec2<i32>,
    dilation: vec2<u32>,
    weights: u32,
    bias: u32,
    // Output channels of one input channel.
    multiplier: u32,
    // Elements of the result, for the whole batch (forward, backward_input).
    elements: u32,
    batch: u32,
    splits: u32,
    slice: u32,
    scratch: u32,
}

@group(0) @binding(1) var<storage, read> params: array<f32>;
@group(0) @binding(4) var<uniform> step: Step;

@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= step.elements) {
        return;
    }
    let o = index % step.y.c;
    let pixel = index / step.y.c;
    let iy0 = i32(pixel / step.y.w % step.y.h * step.stride.x) - step.pad.x;
    let ix0 = i32(pixel % step.y.w * step.stride.y) - step.pad.y;
    let image = pixel / (step.y.w * step.y.h) * step.x.h;
    var acc = 0.0;
    if (step.bias != NONE) {
        acc = params[step.bias + o];
    }
    for (var ky = 0u; ky < step.kernel.x; ky++) {
        let iy = u32(iy0 + i32(ky * step.dilation.x));
        for (var kx = 0u; kx < step.kernel.y; kx++) {
            let ix = u32(ix0 + i32(kx * step.dilation.y));
            // Positions before the input are huge as unsigned numbers.
            if (iy < step.x.h && ix < step.x.w) {
                let x = arena[step.x.offset + ((image + iy) * step.x.w + ix) * step.x.pitch + o / step.multiplier];
                acc += x * params[step.weights + (ky * step.kernel.y + kx) * step.y.c + o];
            }
        }
    }
    write(step.y.offset + pixel * step.y.pitch + o, activate(acc));
}

@compute @workgroup_size(WORKGROUP)
fn backward_input(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= step.elements) {
        return;
    }
    let c = index % step.x.c;
    let pixel = index / step.x.c;
    let ty = i32(pixel / step.x.w % step.x.h) + step.pad.x;
    let tx = i32(pixel % step.x.w) + step.pad.y;
    let image = pixel / (step.x.w * step.x.h) * step.y.h;
    var acc = 0.0;
    for (var ky = 0u; ky < step.kernel.x; ky++) {
        let uy = u32(ty - i32(ky * step.dilation.x));
        let oy = uy / step.stride.x;
        for (var kx = 0u; kx < step.kernel.y; kx++) {
            let ux = u32(tx - i32(kx * step.dilation.y));
            let ox = ux / step.stride.y;
            if (oy < step.y.h && ox < step.y.w && oy * step.stride.x == uy && ox * step.stride.y == ux) {
                let at = step.y.offset + ((image + oy) * step.y.w + ox) * step.y.pitch;
                let tap = step.weights + (ky * step.kernel.y + kx) * step.y.c;
                for (var o = c * step.multiplier; o < (c + 1u) * step.multiplier; o++) {
                    acc += params[tap + o] * arena[at + o];
                }
            }
        }
    }
    write(step.x.offset + pixel * step.x.pitch + c, acc);
}

// One invocation for each weight (and bias, the tap after the last) and slice of the output's rows.
@compute @workgroup_size(WORKGROUP)
fn backward_weights(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    let taps = step.kernel.x * step.kernel.y;
    let stored = step.y.c * (taps + u32(step.bias != NONE));
    let split = index / stored;
    if (split >= step.splits) {
        return;
    }
    let o = index % step.y.c;
    let tap = index % stored / step.y.c;
    let is_weight = tap < taps;
    let last = min((split + 1u) * step.slice, step.batch * step.y.h);
    var acc = 0.0;
    for (var r = split * step.slice; r < last; r++) {
        let from_y = step.y.offset + r * step.y.w * step.y.pitch + o;
        let iy = u32(i32(r % step.y.h * step.stride.x + tap / step.kernel.y * step.dilation.x) - step.pad.x);
        let row = (r / step.y.h * step.x.h + iy) * step.x.w;
        for (var ox = 0u; ox < step.y.w; ox++) {
            let d = arena[from_y + ox * step.y.pitch];
            let ix = u32(i32(ox * step.stride.y + tap % step.kernel.y * step.dilation.y) - step.pad.y);
            if (!is_weight) {
                acc += d;
            } else if (iy < step.x.h && ix < step.x.w) {
                acc += d * arena[step.x.offset + (row + ix) * step.x.pitch + o / step.multiplier];
            }
        }
    }
    if (step.splits > 1u) {
        arena[step.scratch + index] = acc;
    } else if (is_weight) {
        grads[step.weights + index] = gathered(step.weights + index) + acc;
    } else {
        grads[step.bias + o] = gathered(step.bias + o) + acc;
    }
}
