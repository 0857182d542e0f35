// Convolution as an implicit matrix product: rows are pixels, columns output channels, and the summed index k runs over
// (ky, kx, c). Weights lie as [group][k][column], columns padded with zeros to a multiple of four, so that a vec4 load
// is contiguous over columns and neighbouring invocations read neighbouring columns.
//
// Every invocation keeps a 4x4 block in registers and nothing is shared through workgroup memory. On the software
// adapter barriers cost ten times what they save; on hardware the four-fold reuse of each load and the cache carry it.

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
    unused0: u32,
    unused1: u32,
    unused2: u32,
}

@group(0) @binding(1) var<storage, read> params: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> grads: array<f32>;
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

@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    let blocks = (step.cout + 3u) / 4u;
    let columns = blocks * step.groups;
    let first = index / columns * 4u;
    if (first >= step.pixels) {
        return;
    }
    let group = index % columns / blocks;
    let block = index % blocks;

    // The last block repeats the last pixel.
    let pixel = min(vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(step.pixels - 1u));
    let ox = pixel % step.y.w;
    let oy = pixel / step.y.w % step.y.h;
    let n = pixel / (step.y.w * step.y.h);
    let ix0 = vec4<i32>(ox * step.stride.y) - step.pad.y;
    let iy0 = vec4<i32>(oy * step.stride.x) - step.pad.x;
    let image = vec4<i32>(n * (step.x.h * step.x.w));
    let channel = i32(step.x.offset + group * step.cin);

    var acc0 = vec4<f32>();
    if (step.bias != NONE) {
        acc0 = params[step.bias + group * blocks + block];
    }
    var acc1 = acc0;
    var acc2 = acc0;
    var acc3 = acc0;
    // Read once: a software adapter would read uniforms in every round.
    let taps = step.taps;
    let run = step.run;
    let cin = i32(step.cin);
    let size = vec2<i32>(vec2<u32>(step.x.h, step.x.w));
    let pitch = i32(step.x.pitch);
    let dilation = step.dilation;
    var k = step.weights + group * step.depth * blocks + block;
    for (var ky = 0u; ky < step.kernel.x; ky++) {
        let iy = iy0 + i32(ky * dilation.x);
        let row_ok = (iy >= vec4<i32>()) & (iy < vec4<i32>(size.x));
        for (var kx = 0u; kx < taps; kx++) {
            let ix = ix0 + i32(kx * dilation.y);
            let at = vec4<u32>(channel + (image + iy * size.y + ix) * pitch);
            // Of a run over several pixels, the part that is inside; of a run over one pixel, all or nothing.
            let low = -ix * cin;
            let high = select(vec4<i32>(), (size.y - ix) * cin, row_ok);
            for (var j = 0u; j < run; j++) {
                var x = load4(at + j);
                if (PADDED) {
                    x = inside(x, (vec4<i32>(i32(j)) >= low) & (vec4<i32>(i32(j)) < high));
                }
                let w = params[k];
                acc0 += x.x * w;
                acc1 += x.y * w;
                acc2 += x.z * w;
                acc3 += x.w * w;
                k += blocks;
            }
        }
    }
    let count = step.cout - block * 4u;
    let to = step.y.offset + first * step.y.pitch + group * step.cout + block * 4u;
    finish(to, acc0, count);
    if (first + 1u < step.pixels) {
        finish(to + step.y.pitch, acc1, count);
    }
    if (first + 2u < step.pixels) {
        finish(to + 2u * step.y.pitch, acc2, count);
    }
    if (first + 3u < step.pixels) {
        finish(to + 3u * step.y.pitch, acc3, count);
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
    finish(step.y.offset + n * step.y.pitch + block * 4u, acc, step.cout - block * 4u);
}

// Four output channels of the gradient at one output pixel; `left` of them exist.
fn dy4(at: u32, left: u32, ok: bool) -> vec4<f32> {
    let v = vec4<f32>(arena[at], arena[at + 1u], arena[at + 2u], arena[at + 3u]);
    if (RAGGED) {
        return inside(v, vec4<bool>(ok, ok && left > 1u, ok && left > 2u, ok && left > 3u));
    }
    return inside(v, vec4<bool>(ok));
}

fn ceil_div(a: i32, b: i32) -> i32 {
    return select(-(-a / b), (a + b - 1) / b, a > 0);
}

// The taps of one axis (low, high) that reach some of four inputs; `t` is the input's position in the padded input.
fn tap_range(t: vec4<i32>, stride: u32, dilation: u32, kernel: u32, outputs: u32) -> vec2<u32> {
    let s = i32(stride);
    let d = i32(dilation);
    let least = min(min(t.x, t.y), min(t.z, t.w));
    let most = max(max(t.x, t.y), max(t.z, t.w));
    let low = max(0, ceil_div(least - (i32(outputs) - 1) * s, d));
    let high = min(i32(kernel), most / d + 1);
    return vec2<u32>(u32(low), u32(max(low, high)));
}

// Each invocation gathers four input pixels by four input channels: no two write to one place.
@compute @workgroup_size(WORKGROUP)
fn backward_input(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    let channel_blocks = (step.cin + 3u) / 4u;
    let columns = channel_blocks * step.groups;
    let first = index / columns * 4u;
    if (first >= step.pixels) {
        return;
    }
    let group = index % columns / channel_blocks;
    let channel = index % channel_blocks * 4u;
    let blocks = (step.cout + 3u) / 4u;

    let pixel = min(vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(step.pixels - 1u));
    let tx = vec4<i32>(pixel % step.x.w) + step.pad.y;
    let ty = vec4<i32>(pixel / step.x.w % step.x.h) + step.pad.x;
    let n = pixel / (step.x.w * step.x.h);
    let range_y = tap_range(ty, step.stride.x, step.dilation.x, step.kernel.x, step.y.h);
    let range_x = tap_range(tx, step.stride.y, step.dilation.y, step.kernel.y, step.y.w);
    let start = step.y.offset + group * step.cout;
    // Rows of weights beyond the last channel are read again instead of the next tap's.
    let row = min(vec4<u32>(channel) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(step.cin - 1u)) * blocks;
    let weights = step.weights + group * step.depth * blocks;
    let cout = step.cout;
    let kernel_w = step.kernel.y;
    let cin = step.cin;
    let size = vec2<u32>(step.y.h, step.y.w);
    let pitch = step.y.pitch;
    let dilation = step.dilation;
    let stride = vec2<i32>(step.stride);

    var acc0 = vec4<f32>();
    var acc1 = vec4<f32>();
    var acc2 = vec4<f32>();
    var acc3 = vec4<f32>();
    for (var ky = range_y.x; ky < range_y.y; ky++) {
        let uy = ty - i32(ky * dilation.x);
        let oy = uy / stride.x;
        let oky = (uy >= vec4<i32>()) & (oy * stride.x == uy) & (oy < vec4<i32>(i32(size.x)));
        for (var kx = range_x.x; kx < range_x.y; kx++) {
            let ux = tx - i32(kx * dilation.y);
            let ox = ux / stride.y;
            let okx = (ux >= vec4<i32>()) & (ox * stride.y == ux) & (ox < vec4<i32>(i32(size.y)));
            let ok = oky & okx;
            let at = start + ((n * size.x + vec4<u32>(oy)) * size.y + vec4<u32>(ox)) * pitch;
            let tap = row + weights + (ky * kernel_w + kx) * cin * blocks;
            for (var b = 0u; b < blocks; b++) {
                let left = cout - 4u * b;
                let w0 = params[tap.x + b];
                let w1 = params[tap.y + b];
                let w2 = params[tap.z + b];
                let w3 = params[tap.w + b];
                let d0 = dy4(at.x + 4u * b, left, ok.x);
                let d1 = dy4(at.y + 4u * b, left, ok.y);
                let d2 = dy4(at.z + 4u * b, left, ok.z);
                let d3 = dy4(at.w + 4u * b, left, ok.w);
                acc0 += vec4<f32>(dot(w0, d0), dot(w1, d0), dot(w2, d0), dot(w3, d0));
                acc1 += vec4<f32>(dot(w0, d1), dot(w1, d1), dot(w2, d1), dot(w3, d1));
                acc2 += vec4<f32>(dot(w0, d2), dot(w1, d2), dot(w2, d2), dot(w3, d2));
                acc3 += vec4<f32>(dot(w0, d3), dot(w1, d3), dot(w2, d3), dot(w3, d3));
            }
        }
    }
    let count = step.cin - channel;
    let to = step.x.offset + first * step.x.pitch + group * step.cin + channel;
    write4(to, acc0, count);
    if (first + 1u < step.pixels) {
        write4(to + step.x.pitch, acc1, count);
    }
    if (first + 2u < step.pixels) {
        write4(to + 2u * step.x.pitch, acc2, count);
    }
    if (first + 3u < step.pixels) {
        write4(to + 3u * step.x.pitch, acc3, count);
    }
}

// Each invocation owns four k by four columns and sums over a slice of the output's rows. The bias is one k more, whose
// input is always 1.
@compute @workgroup_size(WORKGROUP)
fn backward_weights(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    let blocks = (step.cout + 3u) / 4u;
    let columns = blocks * step.groups;
    let has_bias = step.bias != NONE;
    let depth = step.depth + u32(has_bias);
    let k_blocks = (depth + 3u) / 4u;
    let split = index / (columns * k_blocks);
    if (split >= step.splits) {
        return;
    }
    let group = index % columns / blocks;
    let block = index % blocks;
    let k0 = index / columns % k_blocks * 4u;

    let k = vec4<u32>(k0) + vec4<u32>(0u, 1u, 2u, 3u);
    let weight = k < vec4<u32>(step.depth);
    let kk = min(k, vec4<u32>(step.depth - 1u));
    let channel = i32(step.x.offset + group * step.cin) + vec4<i32>(kk % step.cin);
    let dx = vec4<i32>(kk / step.cin % step.kernel.y * step.dilation.y) - step.pad.y;
    let dy = vec4<i32>(kk / (step.cin * step.kernel.y) * step.dilation.x) - step.pad.x;
    let advance = step.stride.y * step.x.pitch;

    var acc0 = vec4<f32>();
    var acc1 = vec4<f32>();
    var acc2 = vec4<f32>();
    var acc3 = vec4<f32>();
    let last = min((split + 1u) * step.slice, step.batch * step.y.h);
    let first_y = step.y.offset + group * step.cout + block * 4u;
    let y = vec3<u32>(step.y.h, step.y.w, step.y.pitch);
    let x_size = vec2<u32>(step.x.h, step.x.w);
    let pitch = i32(step.x.pitch);
    let stride = step.stride;
    for (var r = split * step.slice; r < last; r++) {
        let iy = dy + i32(r % y.x * stride.x);
        let row_ok = (iy >= vec4<i32>()) & (iy < vec4<i32>(i32(x_size.x)));
        let image = i32(r / y.x * (x_size.x * x_size.y));
        var at = vec4<u32>(channel + (image + iy * i32(x_size.y) + dx) * pitch);
        var from_y = first_y + r * y.y * y.z;
        var ix = dx;
        for (var ox = 0u; ox < y.y; ox++) {
            var x = load4(at);
            if (PADDED) {
                x = inside(x, row_ok & (ix >= vec4<i32>()) & (ix < vec4<i32>(i32(x_size.y))));
                ix += i32(stride.y);
            }
            x = select(vec4<f32>(1.0), x, weight);
            let d = vec4<f32>(arena[from_y], arena[from_y + 1u], arena[from_y + 2u], arena[from_y + 3u]);
            acc0 += x.x * d;
            acc1 += x.y * d;
            acc2 += x.z * d;
            acc3 += x.w * d;
            at += advance;
            from_y += y.z;
        }
    }
    let column = group * blocks + block;
    save(split, k0, column, acc0);
    save(split, k0 + 1u, column, acc1);
    save(split, k0 + 2u, column, acc2);
    save(split, k0 + 3u, column, acc3);
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
    grads[at] = clean.x;
    grads[at + 1u] = clean.y;
    grads[at + 2u] = clean.z;
    grads[at + 3u] = clean.w;
}
