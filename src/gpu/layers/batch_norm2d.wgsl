// Batch normalization. Sums over pixels are split into slices, each summed by one invocation, then merged in order.

struct BatchNormUniforms {
    x: ViewUniforms,
    dy: ViewUniforms,
    // The result: y, or the gradient of x.
    y: ViewUniforms,
    // First floats of weight, bias, mean and variance.
    params: vec4<u32>,
    // Pixels of the whole batch.
    pixels: u32,
    splits: u32,
    // Pixels of a slice.
    slice: u32,
    // Two sums for each slice and channel, then four coefficients for each channel.
    scratch: u32,
    epsilon: f32,
    momentum: f32,
}

@group(0) @binding(1) var<storage, read> params: array<f32>;
@group(0) @binding(4) var<uniform> uniforms: BatchNormUniforms;

// Whether the statistics are the batch's, which lie in the gradients of the running statistics.
override TRAINING: bool = true;
// Pixels of one channel that an invocation normalizes.
const PIXELS: u32 = 8u;

fn at(p: ViewUniforms, pixel: u32, c: u32) -> u32 {
    return p.offset + pixel * p.pixel_stride + c;
}

fn inverse(variance: f32) -> f32 {
    return inverseSqrt(variance + uniforms.epsilon);
}

// Computes the mean of a slice and the sum of squared differences from it, which does not cancel when the mean is
// large.
@compute @workgroup_size(WORKGROUP)
fn statistics(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    let c = index % uniforms.x.c;
    let s = index / uniforms.x.c;
    if (s >= uniforms.splits) {
        return;
    }
    let first = s * uniforms.slice;
    let end = min(first + uniforms.slice, uniforms.pixels);
    var sum = 0.0;
    for (var p = first; p < end; p++) {
        sum += arena[at(uniforms.x, p, c)];
    }
    let mean = sum / f32(end - first);
    var squares = 0.0;
    for (var p = first; p < end; p++) {
        let d = arena[at(uniforms.x, p, c)] - mean;
        squares += d * d;
    }
    arena[uniforms.scratch + index] = mean;
    arena[uniforms.scratch + uniforms.splits * uniforms.x.c + index] = squares;
}

// Merges the statistics of the slices by the formula of Chan et al.
@compute @workgroup_size(WORKGROUP)
fn merge(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let c = invocation(id, groups);
    if (c >= uniforms.x.c) {
        return;
    }
    var count = 0.0;
    var mean = 0.0;
    var squares = 0.0;
    for (var s = 0u; s < uniforms.splits; s++) {
        let more = f32(min(uniforms.slice, uniforms.pixels - s * uniforms.slice));
        let at = uniforms.scratch + s * uniforms.x.c + c;
        let d = arena[at] - mean;
        let share = more / (count + more);
        mean += d * share;
        squares += arena[at + uniforms.splits * uniforms.x.c] + d * d * count * share;
        count += more;
    }
    grads[uniforms.params.z + c] = mean;
    grads[uniforms.params.w + c] = squares / count;
}

@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    let c = index % uniforms.x.c;
    let first = index / uniforms.x.c * PIXELS;
    if (first >= uniforms.pixels) {
        return;
    }
    var mean: f32;
    var variance: f32;
    if (TRAINING) {
        mean = grads[uniforms.params.z + c];
        variance = grads[uniforms.params.w + c];
    } else {
        mean = params[uniforms.params.z + c];
        variance = params[uniforms.params.w + c];
    }
    let scale = params[uniforms.params.x + c] * inverse(variance);
    let shift = params[uniforms.params.y + c];
    for (var p = first; p < min(first + PIXELS, uniforms.pixels); p++) {
        arena[at(uniforms.y, p, c)] = activate(scale * (arena[at(uniforms.x, p, c)] - mean) + shift);
    }
}

@compute @workgroup_size(WORKGROUP)
fn sums(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    let c = index % uniforms.x.c;
    let s = index / uniforms.x.c;
    if (s >= uniforms.splits) {
        return;
    }
    let mean = grads[uniforms.params.z + c];
    var dbias = 0.0;
    var dweight = 0.0;
    for (var p = s * uniforms.slice; p < min((s + 1u) * uniforms.slice, uniforms.pixels); p++) {
        let dy = arena[at(uniforms.dy, p, c)];
        dbias += dy;
        dweight += dy * (arena[at(uniforms.x, p, c)] - mean);
    }
    arena[uniforms.scratch + index] = dbias;
    arena[uniforms.scratch + uniforms.splits * uniforms.x.c + index] = dweight;
}

@compute @workgroup_size(WORKGROUP)
fn finish(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let c = invocation(id, groups);
    if (c >= uniforms.x.c) {
        return;
    }
    let mean = grads[uniforms.params.z + c];
    let variance = grads[uniforms.params.w + c];
    let root = inverse(variance);
    var dbias = 0.0;
    var dweight = 0.0;
    for (var s = 0u; s < uniforms.splits; s++) {
        let at = uniforms.scratch + s * uniforms.x.c + c;
        dbias += arena[at];
        dweight += arena[at + uniforms.splits * uniforms.x.c];
    }
    dweight *= root;
    grads[uniforms.params.x + c] = accumulated(uniforms.params.x + c) + dweight;
    grads[uniforms.params.y + c] = accumulated(uniforms.params.y + c) + dbias;

    // dx = scale * dy + along * (x - mean) + shift
    let count = f32(uniforms.pixels);
    let scale = params[uniforms.params.x + c] * root;
    let to = uniforms.scratch + 2u * uniforms.splits * uniforms.x.c + 4u * c;
    arena[to] = scale;
    arena[to + 1u] = -scale * root * dweight / count;
    arena[to + 2u] = mean;
    arena[to + 3u] = -scale * dbias / count;

    // The running variance moves towards the unbiased one.
    let unbiased = variance * count / max(count - 1.0, 1.0);
    grads[uniforms.params.z + c] = uniforms.momentum * (mean - params[uniforms.params.z + c]);
    grads[uniforms.params.w + c] = uniforms.momentum * (unbiased - params[uniforms.params.w + c]);
}

// Runs instead of `finish` where the running statistics are used: dx = scale * dy.
@compute @workgroup_size(WORKGROUP)
fn scales(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let c = invocation(id, groups);
    if (c >= uniforms.x.c) {
        return;
    }
    let to = uniforms.scratch + 2u * uniforms.splits * uniforms.x.c + 4u * c;
    arena[to] = params[uniforms.params.x + c] * inverse(params[uniforms.params.w + c]);
    arena[to + 1u] = 0.0;
    arena[to + 2u] = 0.0;
    arena[to + 3u] = 0.0;
}

@compute @workgroup_size(WORKGROUP)
fn backward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    let c = index % uniforms.x.c;
    let first = index / uniforms.x.c * PIXELS;
    if (first >= uniforms.pixels) {
        return;
    }
    let coefficients = uniforms.scratch + 2u * uniforms.splits * uniforms.x.c + 4u * c;
    let scale = arena[coefficients];
    let along = arena[coefficients + 1u];
    let mean = arena[coefficients + 2u];
    let shift = arena[coefficients + 3u];
    for (var p = first; p < min(first + PIXELS, uniforms.pixels); p++) {
        let dx = scale * arena[at(uniforms.dy, p, c)] + along * (arena[at(uniforms.x, p, c)] - mean) + shift;
        write(at(uniforms.y, p, c), dx);
    }
}
