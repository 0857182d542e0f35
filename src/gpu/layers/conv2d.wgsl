// Convolution as an implicit matrix product: rows are pixels, columns output channels, and the summed index k runs over
// (ky, kx, c). Weights lie as [group][k][column], columns padded with zeros to a multiple of four, so that a vec4 load
// is contiguous over columns and neighbouring invocations read neighbouring columns.
//
// Every invocation keeps a block of 8x4 in registers and nothing is shared through workgroup memory. On the software
// adapter barriers cost ten times what they save, and loads (a check and a gather for each lane) cost more than sums:
// 8x4 takes 12 loads for 32 of them, 4x4 takes 8 for 16 and is a third slower. On hardware the reuse of each load and
// the cache carry it.

struct Step {
    x: Place,
    y: Place,
    kernel: vec2<u32>,
    stride: vec2<u32>,
    pad: vec2<i32>,
    dilation: vec2<u32>,
    // In vec4 for reading, in floats for writing gradients.
    weights: u32,
    bias: u32,
    groups: u32,
    // Of one group.
    cin: u32,
    cout: u32,
    // Summed indices: kh * kw * cin.
    depth: u32,
    // Pixels of the result, for the whole batch (forward, backward_input).
    pixels: u32,
    batch: u32,
    // The inner loop: `taps` times along the kernel's row, each a run of `run` floats that are contiguous in x.
    taps: u32,
    run: u32,
    // backward_weights: the rows of y are split into this many slices of `slice` rows; with more than one, partial sums
    // go to the arena at `scratch`, for `reduce` to add up.
    splits: u32,
    slice: u32,
    scratch: u32,
    // Added to the result, unless it is NONE: where it begins, and floats from one pixel to the next.
    addend: u32,
    addend_pitch: u32,
    unused: u32,
}

@group(0) @binding(1) var<storage, read> params: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> step: Step;

// Whether some window reaches beyond the input.
override PADDED: bool = true;
// Whether the output channels of a group are not a multiple of four.
override RAGGED: bool = true;

// A zero where the tap is outside, whatever lies at the address computed for it.
fn inside(v: vec4<f32>, ok: vec4<bool>) -> vec4<f32> {
    return select(vec4<f32>(), v, ok);
}

fn load4(at: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(arena[at.x], arena[at.y], arena[at.z], arena[at.w]);
}

// Four pixels of the result: where they begin in the input.
struct Pixels {
    image: vec4<i32>,
    iy: vec4<i32>,
    ix: vec4<i32>,
}

// Beyond the last pixel, the last one again.
fn pixels_from(first: u32) -> Pixels {
    let pixel = min(vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(step.pixels - 1u));
    let row = pixel / step.y.w;
    let n = row / step.y.h;
    return Pixels(
        vec4<i32>(n * (step.x.h * step.x.w)),
        vec4<i32>((row - n * step.y.h) * step.stride.x) - step.pad.x,
        vec4<i32>((pixel - row * step.y.w) * step.stride.y) - step.pad.y,
    );
}

fn outer(x: vec4<f32>, w: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(x.x * w, x.y * w, x.z * w, x.w * w);
}

@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    let blocks = (step.cout + 3u) / 4u;
    let columns = blocks * step.groups;
    let first = index / columns * 8u;
    if (first >= step.pixels) {
        return;
    }
    let group = index % columns / blocks;
    let block = index % blocks;
    let p = pixels_from(first);
    let q = pixels_from(first + 4u);
    let channel = i32(step.x.offset + group * step.cin);

    var bias = vec4<f32>();
    if (step.bias != NONE) {
        bias = params[step.bias + group * blocks + block];
    }
    var acc_p = mat4x4<f32>(bias, bias, bias, bias);
    var acc_q = acc_p;
    // Read once: a software adapter would read uniforms in every round.
    let taps = step.taps;
    let run = step.run;
    let cin = i32(step.cin);
    let size = vec2<i32>(vec2<u32>(step.x.h, step.x.w));
    let pitch = i32(step.x.pitch);
    let dilation = step.dilation;
    let kernel_h = step.kernel.x;
    var k = step.weights + group * step.depth * blocks + block;
    for (var ky = 0u; ky < kernel_h; ky++) {
        let py = p.iy + i32(ky * dilation.x);
        let qy = q.iy + i32(ky * dilation.x);
        let p_row = (py >= vec4<i32>()) & (py < vec4<i32>(size.x));
        let q_row = (qy >= vec4<i32>()) & (qy < vec4<i32>(size.x));
        for (var kx = 0u; kx < taps; kx++) {
            let px = p.ix + i32(kx * dilation.y);
            let qx = q.ix + i32(kx * dilation.y);
            let p_at = vec4<u32>(channel + (p.image + py * size.y + px) * pitch);
            let q_at = vec4<u32>(channel + (q.image + qy * size.y + qx) * pitch);
            // Of a run over several pixels, the part that is inside; of a run over one pixel, all or nothing.
            let p_low = -px * cin;
            let q_low = -qx * cin;
            let p_high = select(vec4<i32>(), (size.y - px) * cin, p_row);
            let q_high = select(vec4<i32>(), (size.y - qx) * cin, q_row);
            for (var j = 0u; j < run; j++) {
                var x = load4(p_at + j);
                var y = load4(q_at + j);
                if (PADDED) {
                    let i = vec4<i32>(i32(j));
                    x = inside(x, (i >= p_low) & (i < p_high));
                    y = inside(y, (i >= q_low) & (i < q_high));
                }
                let w = params[k];
                acc_p += outer(x, w);
                acc_q += outer(y, w);
                k += blocks;
            }
        }
    }
    let count = step.cout - block * 4u;
    let pitch_y = step.y.pitch;
    let left = step.pixels - first;
    let to = step.y.offset + first * pitch_y + group * step.cout + block * 4u;
    if (step.addend != NONE) {
        let at = step.addend + group * step.cout + block * 4u;
        acc_p += addend4(at, first);
        acc_q += addend4(at, first + 4u);
    }
    finish4(to, acc_p, count, left);
    if (left > 4u) {
        finish4(to + 4u * pitch_y, acc_q, count, left - 4u);
    }
}

// Four pixels of the addend; those beyond the last pixel or channel are read from elsewhere and not written.
fn addend4(at: u32, first: u32) -> mat4x4<f32> {
    let p = vec4<u32>(at) + (vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u)) * step.addend_pitch;
    let i = vec4<u32>(0u, 1u, 2u, 3u);
    return mat4x4<f32>(load4(p.x + i), load4(p.y + i), load4(p.z + i), load4(p.w + i));
}

// Writes `left` pixels of `count` channels.
fn finish4(at: u32, v: mat4x4<f32>, count: u32, left: u32) {
    let pitch = step.y.pitch;
    finish(at, v[0], count);
    if (left > 1u) {
        finish(at + pitch, v[1], count);
    }
    if (left > 2u) {
        finish(at + 2u * pitch, v[2], count);
    }
    if (left > 3u) {
        finish(at + 3u * pitch, v[3], count);
    }
}

fn finish(at: u32, v: vec4<f32>, count: u32) {
    write4(at, vec4<f32>(activate(v.x), activate(v.y), activate(v.z), activate(v.w)), count);
}

// One row, for a linear layer at batch 1: blocks of four pixels would compute three of them for nothing.
@compute @workgroup_size(WORKGROUP)
fn forward_vector(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    let blocks = (step.cout + 3u) / 4u;
    let n = index / blocks;
    if (n >= step.pixels) {
        return;
    }
    let block = index % blocks;
    var acc = vec4<f32>();
    if (step.bias != NONE) {
        acc = params[step.bias + block];
    }
    let x = step.x.offset + n * step.x.pitch;
    let run = step.run;
    var k = step.weights + block;
    for (var j = 0u; j < run; j++) {
        acc += arena[x + j] * params[k];
        k += blocks;
    }
    if (step.addend != NONE) {
        acc += load4(vec4<u32>(step.addend + n * step.addend_pitch + block * 4u) + vec4<u32>(0u, 1u, 2u, 3u));
    }
    finish(step.y.offset + n * step.y.pitch + block * 4u, acc, step.cout - block * 4u);
}

// Four output channels of the gradient at one output pixel, of which `exists` tells those that are there. Without
// branches: with a dozen && in the loop, a software adapter takes ten seconds to compile this shader.
fn dy4(at: u32, exists: vec4<bool>, ok: bool) -> vec4<f32> {
    let v = vec4<f32>(arena[at], arena[at + 1u], arena[at + 2u], arena[at + 3u]);
    if (RAGGED) {
        return inside(v, exists & vec4<bool>(ok));
    }
    return inside(v, vec4<bool>(ok));
}

fn ceil_div(a: i32, b: i32) -> i32 {
    return select(-(-a / b), (a + b - 1) / b, a > 0);
}

// The taps of one axis (low, high) that reach some of eight inputs; the vectors are their positions in the padded input.
fn tap_range(p: vec4<i32>, q: vec4<i32>, stride: u32, dilation: u32, kernel: u32, outputs: u32) -> vec2<u32> {
    let least = min(p, q);
    let most = max(p, q);
    let first = min(min(least.x, least.y), min(least.z, least.w)) - (i32(outputs) - 1) * i32(stride);
    let last = max(max(most.x, most.y), max(most.z, most.w));
    let low = max(0, ceil_div(first, i32(dilation)));
    let high = min(i32(kernel), last / i32(dilation) + 1);
    return vec2<u32>(u32(low), u32(max(low, high)));
}

// Four pixels of the input, at positions of the padded input.
struct Inputs {
    n: vec4<u32>,
    y: vec4<i32>,
    x: vec4<i32>,
}

fn inputs_from(first: u32) -> Inputs {
    let pixel = min(vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(step.pixels - 1u));
    let row = pixel / step.x.w;
    let n = row / step.x.h;
    return Inputs(n, vec4<i32>(row - n * step.x.h) + step.pad.x, vec4<i32>(pixel - row * step.x.w) + step.pad.y);
}

// For four inputs, the outputs that one tap leads to on one axis, and whether they are there.
struct Outputs {
    at: vec4<u32>,
    ok: vec4<bool>,
}

fn outputs_of(t: vec4<i32>, tap: u32, stride: i32, dilation: u32, size: u32) -> Outputs {
    let u = t - i32(tap * dilation);
    let o = u / stride;
    return Outputs(vec4<u32>(o), (u >= vec4<i32>()) & (o * stride == u) & (o < vec4<i32>(i32(size))));
}

// Each invocation gathers eight input pixels by four input channels: no two write to one place.
@compute @workgroup_size(WORKGROUP)
fn backward_input(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    let channel_blocks = (step.cin + 3u) / 4u;
    let columns = channel_blocks * step.groups;
    let first = index / columns * 8u;
    if (first >= step.pixels) {
        return;
    }
    let group = index % columns / channel_blocks;
    let channel = index % channel_blocks * 4u;
    let blocks = (step.cout + 3u) / 4u;
    let p = inputs_from(first);
    let q = inputs_from(first + 4u);
    let stride = vec2<i32>(step.stride);
    let dilation = step.dilation;
    let size = vec2<u32>(step.y.h, step.y.w);
    let range_y = tap_range(p.y, q.y, step.stride.x, dilation.x, step.kernel.x, size.x);
    let range_x = tap_range(p.x, q.x, step.stride.y, dilation.y, step.kernel.y, size.y);
    let start = step.y.offset + group * step.cout;
    // Rows of weights beyond the last channel are read again instead of the next tap's.
    let row = min(vec4<u32>(channel) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(step.cin - 1u)) * blocks;
    let weights = step.weights + group * step.depth * blocks;
    let cin = step.cin;
    let cout = step.cout;
    let kernel_w = step.kernel.y;
    let pitch = step.y.pitch;

    var acc_p = mat4x4<f32>();
    var acc_q = mat4x4<f32>();
    for (var ky = range_y.x; ky < range_y.y; ky++) {
        let py = outputs_of(p.y, ky, stride.x, dilation.x, size.x);
        let qy = outputs_of(q.y, ky, stride.x, dilation.x, size.x);
        for (var kx = range_x.x; kx < range_x.y; kx++) {
            let px = outputs_of(p.x, kx, stride.y, dilation.y, size.y);
            let qx = outputs_of(q.x, kx, stride.y, dilation.y, size.y);
            let p_at = start + ((p.n * size.x + py.at) * size.y + px.at) * pitch;
            let q_at = start + ((q.n * size.x + qy.at) * size.y + qx.at) * pitch;
            let p_ok = py.ok & px.ok;
            let q_ok = qy.ok & qx.ok;
            let tap = row + weights + (ky * kernel_w + kx) * cin * blocks;
            for (var b = 0u; b < blocks; b++) {
                let exists = vec4<u32>(0u, 1u, 2u, 3u) + 4u * b < vec4<u32>(cout);
                let w = mat4x4<f32>(params[tap.x + b], params[tap.y + b], params[tap.z + b], params[tap.w + b]);
                acc_p += products(w, p_at + 4u * b, exists, p_ok);
                acc_q += products(w, q_at + 4u * b, exists, q_ok);
            }
        }
    }
    let count = cin - channel;
    let pitch_x = step.x.pitch;
    let left = step.pixels - first;
    let to = step.x.offset + first * pitch_x + group * cin + channel;
    save_inputs(to, acc_p, count, left);
    if (left > 4u) {
        save_inputs(to + 4u * pitch_x, acc_q, count, left - 4u);
    }
}

// For four pixels, the products of four rows of weights with four channels of the gradient.
fn products(w: mat4x4<f32>, at: vec4<u32>, exists: vec4<bool>, ok: vec4<bool>) -> mat4x4<f32> {
    return mat4x4<f32>(
        dy4(at.x, exists, ok.x) * w,
        dy4(at.y, exists, ok.y) * w,
        dy4(at.z, exists, ok.z) * w,
        dy4(at.w, exists, ok.w) * w,
    );
}

// Writes `left` pixels of `count` channels.
fn save_inputs(at: u32, v: mat4x4<f32>, count: u32, left: u32) {
    let pitch = step.x.pitch;
    write4(at, v[0], count);
    if (left > 1u) {
        write4(at + pitch, v[1], count);
    }
    if (left > 2u) {
        write4(at + 2u * pitch, v[2], count);
    }
    if (left > 3u) {
        write4(at + 3u * pitch, v[3], count);
    }
}

// Four of the summed indices k: where each leads to from a pixel of the output.
struct Taps {
    channel: vec4<i32>,
    y: vec4<i32>,
    x: vec4<i32>,
    // The bias is one k more, whose input is always 1.
    is_weight: vec4<bool>,
}

fn taps_from(first: u32, group: u32) -> Taps {
    let k = vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u);
    let inside_k = min(k, vec4<u32>(step.depth - 1u));
    let tap = inside_k / step.cin;
    let ky = tap / step.kernel.y;
    return Taps(
        i32(step.x.offset + group * step.cin) + vec4<i32>(inside_k - tap * step.cin),
        vec4<i32>(ky * step.dilation.x) - step.pad.x,
        vec4<i32>((tap - ky * step.kernel.y) * step.dilation.y) - step.pad.y,
        k < vec4<u32>(step.depth),
    );
}

// Each invocation owns eight k by four columns and sums over a slice of the output's rows.
@compute @workgroup_size(WORKGROUP)
fn backward_weights(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    let blocks = (step.cout + 3u) / 4u;
    let columns = blocks * step.groups;
    let depth = step.depth + u32(step.bias != NONE);
    let k_blocks = (depth + 7u) / 8u;
    let split = index / (columns * k_blocks);
    if (split >= step.splits) {
        return;
    }
    let group = index % columns / blocks;
    let block = index % blocks;
    let k = index / columns % k_blocks * 8u;
    let p = taps_from(k, group);
    let q = taps_from(k + 4u, group);

    let first_y = step.y.offset + group * step.cout + block * 4u;
    let y = vec3<u32>(step.y.h, step.y.w, step.y.pitch);
    let size = vec2<i32>(vec2<u32>(step.x.h, step.x.w));
    let pitch = i32(step.x.pitch);
    let stride = step.stride;
    let advance = stride.y * step.x.pitch;
    let last = min((split + 1u) * step.slice, step.batch * y.x);
    var acc_p = mat4x4<f32>();
    var acc_q = mat4x4<f32>();
    for (var r = split * step.slice; r < last; r++) {
        let n = r / y.x;
        let iy = i32((r - n * y.x) * stride.x);
        let image = i32(n) * size.x * size.y;
        let py = p.y + iy;
        let qy = q.y + iy;
        let p_row = (py >= vec4<i32>()) & (py < vec4<i32>(size.x));
        let q_row = (qy >= vec4<i32>()) & (qy < vec4<i32>(size.x));
        var p_at = vec4<u32>(p.channel + (image + py * size.y + p.x) * pitch);
        var q_at = vec4<u32>(q.channel + (image + qy * size.y + q.x) * pitch);
        var from_y = first_y + r * y.y * y.z;
        var px = p.x;
        var qx = q.x;
        for (var ox = 0u; ox < y.y; ox++) {
            var u = load4(p_at);
            var v = load4(q_at);
            if (PADDED) {
                u = inside(u, p_row & (px >= vec4<i32>()) & (px < vec4<i32>(size.y)));
                v = inside(v, q_row & (qx >= vec4<i32>()) & (qx < vec4<i32>(size.y)));
                px += i32(stride.y);
                qx += i32(stride.y);
            }
            u = select(vec4<f32>(1.0), u, p.is_weight);
            v = select(vec4<f32>(1.0), v, q.is_weight);
            let d = vec4<f32>(arena[from_y], arena[from_y + 1u], arena[from_y + 2u], arena[from_y + 3u]);
            acc_p += outer(u, d);
            acc_q += outer(v, d);
            p_at += advance;
            q_at += advance;
            from_y += y.z;
        }
    }
    let column = group * blocks + block;
    for (var i = 0u; i < 4u; i++) {
        save(split, k + i, column, acc_p[i]);
        save(split, k + 4u + i, column, acc_q[i]);
    }
}

// `column` counts blocks of four over all groups.
fn save(split: u32, k: u32, column: u32, v: vec4<f32>) {
    let depth = step.depth + u32(step.bias != NONE);
    if (k >= depth) {
        return;
    }
    let blocks = (step.cout + 3u) / 4u;
    let group = column / blocks;
    let left = step.cout - column % blocks * 4u;
    // What was summed for the padding came from other values' memory.
    let clean = inside(v, vec4<bool>(true, left > 1u, left > 2u, left > 3u));
    if (step.splits > 1u) {
        let stored = step.groups * blocks * 4u * depth;
        let row = group * depth + k;
        write4(step.scratch + split * stored + (row * blocks + column % blocks) * 4u, clean, 4u);
        return;
    }
    var at = step.bias + column * 4u;
    if (k < step.depth) {
        at = step.weights + ((group * step.depth + k) * blocks + column % blocks) * 4u;
    }
    grads[at] = gathered(at) + clean.x;
    grads[at + 1u] = gathered(at + 1u) + clean.y;
    grads[at + 2u] = gathered(at + 2u) + clean.z;
    grads[at + 3u] = gathered(at + 3u) + clean.w;
}
