// Convolution with one input channel in each group: a direct sum over taps. The order of weights is
// [tap][output channel].

struct DepthwiseUniforms {
    x: ViewUniforms,
    y: ViewUniforms,
    window: WindowUniforms,
    weights: u32,
    bias: u32,
    // Output channels for each input channel.
    multiplier: u32,
    // Elements of the result, for the whole batch (forward, backward_input).
    elements: u32,
    batch: u32,
    splits: u32,
    slice: u32,
    scratch: u32,
}

@group(0) @binding(1) var<storage, read> params: array<f32>;
@group(0) @binding(4) var<uniform> uniforms: DepthwiseUniforms;

@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= uniforms.elements) {
        return;
    }
    let o = index % uniforms.y.c;
    let pixel = index / uniforms.y.c;
    let iy0 = i32(pixel / uniforms.y.w % uniforms.y.h * uniforms.window.stride.x) - uniforms.window.pad.x;
    let ix0 = i32(pixel % uniforms.y.w * uniforms.window.stride.y) - uniforms.window.pad.y;
    let image = pixel / (uniforms.y.w * uniforms.y.h) * uniforms.x.h;
    var acc = 0.0;
    if (uniforms.bias != NONE) {
        acc = params[uniforms.bias + o];
    }
    for (var ky = 0u; ky < uniforms.window.kernel.x; ky++) {
        let iy = u32(iy0 + i32(ky * uniforms.window.dilation.x));
        for (var kx = 0u; kx < uniforms.window.kernel.y; kx++) {
            let ix = u32(ix0 + i32(kx * uniforms.window.dilation.y));
            // Positions before the input are huge as unsigned numbers.
            if (iy < uniforms.x.h && ix < uniforms.x.w) {
                let pixel_x = (image + iy) * uniforms.x.w + ix;
                let x = arena[uniforms.x.offset + pixel_x * uniforms.x.pixel_stride + o / uniforms.multiplier];
                acc += x * params[uniforms.weights + (ky * uniforms.window.kernel.y + kx) * uniforms.y.c + o];
            }
        }
    }
    write(uniforms.y.offset + pixel * uniforms.y.pixel_stride + o, activate(acc));
}

@compute @workgroup_size(WORKGROUP)
fn backward_input(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= uniforms.elements) {
        return;
    }
    let c = index % uniforms.x.c;
    let pixel = index / uniforms.x.c;
    let ty = i32(pixel / uniforms.x.w % uniforms.x.h) + uniforms.window.pad.x;
    let tx = i32(pixel % uniforms.x.w) + uniforms.window.pad.y;
    let image = pixel / (uniforms.x.w * uniforms.x.h) * uniforms.y.h;
    var acc = 0.0;
    for (var ky = 0u; ky < uniforms.window.kernel.x; ky++) {
        let uy = u32(ty - i32(ky * uniforms.window.dilation.x));
        let oy = uy / uniforms.window.stride.x;
        for (var kx = 0u; kx < uniforms.window.kernel.y; kx++) {
            let ux = u32(tx - i32(kx * uniforms.window.dilation.y));
            let ox = ux / uniforms.window.stride.y;
            let is_inside = oy < uniforms.y.h && ox < uniforms.y.w;
            if (is_inside && oy * uniforms.window.stride.x == uy && ox * uniforms.window.stride.y == ux) {
                let at = uniforms.y.offset + ((image + oy) * uniforms.y.w + ox) * uniforms.y.pixel_stride;
                let tap = uniforms.weights + (ky * uniforms.window.kernel.y + kx) * uniforms.y.c;
                for (var o = c * uniforms.multiplier; o < (c + 1u) * uniforms.multiplier; o++) {
                    acc += params[tap + o] * arena[at + o];
                }
            }
        }
    }
    write(uniforms.x.offset + pixel * uniforms.x.pixel_stride + c, acc);
}

// One invocation for each parameter and slice of output rows. The bias is the tap after the last.
@compute @workgroup_size(WORKGROUP)
fn backward_weights(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    let taps = uniforms.window.kernel.x * uniforms.window.kernel.y;
    let stored = uniforms.y.c * (taps + u32(uniforms.bias != NONE));
    let split = index / stored;
    if (split >= uniforms.splits) {
        return;
    }
    let o = index % uniforms.y.c;
    let tap = index % stored / uniforms.y.c;
    let is_weight = tap < taps;
    let last = min((split + 1u) * uniforms.slice, uniforms.batch * uniforms.y.h);
    var acc = 0.0;
    for (var r = split * uniforms.slice; r < last; r++) {
        let from_y = uniforms.y.offset + r * uniforms.y.w * uniforms.y.pixel_stride + o;
        let ky = tap / uniforms.window.kernel.y;
        let ty = r % uniforms.y.h * uniforms.window.stride.x + ky * uniforms.window.dilation.x;
        let iy = u32(i32(ty) - uniforms.window.pad.x);
        let row = (r / uniforms.y.h * uniforms.x.h + iy) * uniforms.x.w;
        for (var ox = 0u; ox < uniforms.y.w; ox++) {
            let d = arena[from_y + ox * uniforms.y.pixel_stride];
            let tx = ox * uniforms.window.stride.y + tap % uniforms.window.kernel.y * uniforms.window.dilation.y;
            let ix = u32(i32(tx) - uniforms.window.pad.y);
            if (!is_weight) {
                acc += d;
            } else if (iy < uniforms.x.h && ix < uniforms.x.w) {
                acc += d * arena[uniforms.x.offset + (row + ix) * uniforms.x.pixel_stride + o / uniforms.multiplier];
            }
        }
    }
    if (uniforms.splits > 1u) {
        arena[uniforms.scratch + index] = acc;
    } else if (is_weight) {
        grads[uniforms.weights + index] = accumulated(uniforms.weights + index) + acc;
    } else {
        grads[uniforms.bias + o] = accumulated(uniforms.bias + o) + acc;
    }
}
