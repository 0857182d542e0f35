// Batch normalisation. Sums over pixels are cut into slices, each summed by one invocation, then merged in order.

struct Step {
    x: Place,
    dy: Place,
    // The result: y, or the gradient of x.
    y: Place,
    // Weight, bias, mean, variance.
    params: vec4<u32>,
    // Of the whole batch.
    pixels: u32,
    splits: u32,
    // Pixels of a slice.
    slice: u32,
    // Two sums for each slice and channel, then four coefficients for each channel.
    scratch: u32,
    epsilon: f32,
    momentum: f32,
    unused0: u32,
    unused1: u32,
}

@group(0) @binding(1) var<storage, read> params: array<f32>;
// In training its mean and variance are the batch's, until `finish`.
@group(0) @binding(4) var<uniform> step: Step;

override TRAINING: bool = true;
const RUN: u32 = 8u;

fn at(p: Place, pixel: u32, c: u32) -> u32 {
    return p.offset + pixel * p.pitch + c;
}

fn inverse(variance: f32) -> f32 {
    return inverseSqrt(variance + step.epsilon);
}

// Mean of a slice, and sum of the squares of what differs from it: no cancellation, however large the mean.
@compute @workgroup_size(WORKGROUP)
fn statistics(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    let c = index % step.x.c;
    let s = index / step.x.c;
    if (s >= step.splits) {
        return;
    }
    let first = s * step.slice;
    let end = min(first + step.slice, step.pixels);
    var sum = 0.0;
    for (var p = first; p < end; p++) {
        sum += arena[at(step.x, p, c)];
    }
    let mean = sum / f32(end - first);
    var squares = 0.0;
    for (var p = first; p < end; p++) {
        let d = arena[at(step.x, p, c)] - mean;
        squares += d * d;
    }
    arena[step.scratch + index] = mean;
    arena[step.scratch + step.splits * step.x.c + index] = squares;
}

// Chan's formula.
@compute @workgroup_size(WORKGROUP)
fn merge(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let c = invocation(id, groups);
    if (c >= step.x.c) {
        return;
    }
    var count = 0.0;
    var mean = 0.0;
    var squares = 0.0;
    for (var s = 0u; s < step.splits; s++) {
        let more = f32(min(step.slice, step.pixels - s * step.slice));
        let at = step.scratch + s * step.x.c + c;
        let d = arena[at] - mean;
        let share = more / (count + more);
        mean += d * share;
        squares += arena[at + step.splits * step.x.c] + d * d * count * share;
        count += more;
    }
    grads[step.params.z + c] = mean;
    grads[step.params.w + c] = squares / count;
}

@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    let c = index % step.x.c;
    let first = index / step.x.c * RUN;
    if (first >= step.pixels) {
        return;
    }
    var mean: f32;
    var variance: f32;
    if (TRAINING) {
        mean = grads[step.params.z + c];
        variance = grads[step.params.w + c];
    } else {
        mean = params[step.params.z + c];
        variance = params[step.params.w + c];
    }
    let scale = params[step.params.x + c] * inverse(variance);
    let shift = params[step.params.y + c];
    for (var p = first; p < min(first + RUN, step.pixels); p++) {
        arena[at(step.y, p, c)] = activate(scale * (arena[at(step.x, p, c)] - mean) + shift);
    }
}

@compute @workgroup_size(WORKGROUP)
fn sums(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    let c = index % step.x.c;
    let s = index / step.x.c;
    if (s >= step.splits) {
        return;
    }
    let mean = grads[step.params.z + c];
    var dbias = 0.0;
    var dweight = 0.0;
    for (var p = s * step.slice; p < min((s + 1u) * step.slice, step.pixels); p++) {
        let dy = arena[at(step.dy, p, c)];
        dbias += dy;
        dweight += dy * (arena[at(step.x, p, c)] - mean);
    }
    arena[step.scratch + index] = dbias;
    arena[step.scratch + step.splits * step.x.c + index] = dweight;
}

@compute @workgroup_size(WORKGROUP)
fn finish(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let c = invocation(id, groups);
    if (c >= step.x.c) {
        return;
    }
    let mean = grads[step.params.z + c];
    let variance = grads[step.params.w + c];
    let root = inverse(variance);
    var dbias = 0.0;
    var dweight = 0.0;
    for (var s = 0u; s < step.splits; s++) {
        let at = step.scratch + s * step.x.c + c;
        dbias += arena[at];
        dweight += arena[at + step.splits * step.x.c];
    }
    dweight *= root;
    grads[step.params.x + c] = gathered(step.params.x + c) + dweight;
    grads[step.params.y + c] = gathered(step.params.y + c) + dbias;

    // dx = scale * dy + along * (x - mean) + shift
    let count = f32(step.pixels);
    let scale = params[step.params.x + c] * root;
    let to = step.scratch + 2u * step.splits * step.x.c + 4u * c;
    arena[to] = scale;
    arena[to + 1u] = -scale * root * dweight / count;
    arena[to + 2u] = mean;
    arena[to + 3u] = -scale * dbias / count;

    // The running variance moves towards the unbiased one.
    let unbiased = variance * count / max(count - 1.0, 1.0);
    grads[step.params.z + c] = step.momentum * (mean - params[step.params.z + c]);
    grads[step.params.w + c] = step.momentum * (unbiased - params[step.params.w + c]);
}

// Instead of `finish`, when the running statistics are used: dx = scale * dy
@compute @workgroup_size(WORKGROUP)
fn scales(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let c = invocation(id, groups);
    if (c >= step.x.c) {
        return;
    }
    let to = step.scratch + 2u * step.splits * step.x.c + 4u * c;
    arena[to] = params[step.params.x + c] * inverse(params[step.params.w + c]);
    arena[to + 1u] = 0.0;
    arena[to + 2u] = 0.0;
    arena[to + 3u] = 0.0;
}

@compute @workgroup_size(WORKGROUP)
fn backward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    let c = index % step.x.c;
    let first = index / step.x.c * RUN;
    if (first >= step.pixels) {
        return;
    }
    let coefficients = step.scratch + 2u * step.splits * step.x.c + 4u * c;
    let scale = arena[coefficients];
    let along = arena[coefficients + 1u];
    let mean = arena[coefficients + 2u];
    let shift = arena[coefficients + 3u];
    for (var p = first; p < min(first + RUN, step.pixels); p++) {
        let dx = scale * arena[at(step.dy, p, c)] + along * (arena[at(step.x, p, c)] - mean) + shift;
        write(at(step.y, p, c), dx);
    }
}
