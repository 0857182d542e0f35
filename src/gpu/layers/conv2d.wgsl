// Convolution as an implicit matrix product: rows are pixels, columns are output channels, and the summed index k runs
// over (ky, kx, c). The order of weights is [group][k][column], with columns zero-padded to a multiple of four, so that
// vec4 loads are contiguous and neighboring invocations read neighboring columns.
//
// Every invocation keeps a block of 8x4 sums in registers; workgroup memory is not used. On a software adapter barriers
// cost ten times more than they save, and loads cost more than sums: 8x4 takes 12 loads for 32 sums, 4x4 takes 8 for 16
// and is a third slower. On hardware, caches serve the repeated loads.

struct ConvUniforms {
    x: ViewUniforms,
    y: ViewUniforms,
    window: WindowUniforms,
    // Counted in vec4 by kernels that read weights, in floats by kernels that write gradients.
    weights: u32,
    bias: u32,
    groups: u32,
    // Channels of one group.
    cin: u32,
    cout: u32,
    // Length of a sum: kh * kw * cin.
    depth: u32,
    // Pixels of the result, for the whole batch (forward, backward_input).
    pixels: u32,
    batch: u32,
    // A row of the kernel has `taps` runs, each of `run` floats that are contiguous in x.
    taps: u32,
    run: u32,
    // backward_weights: slices of output rows, and the rows of a slice. Partial sums of several slices go to the arena
    // at `scratch`, where `split_sum` adds them up.
    splits: u32,
    slice: u32,
    scratch: u32,
    // The value that is added to the result, or NONE: its first float, and floats from one pixel to the next.
    addend: u32,
    addend_pixel_stride: u32,
}

@group(0) @binding(1) var<storage, read> params: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> uniforms: ConvUniforms;

// Whether some window reaches beyond the input.
override PADDED: bool = true;
// Whether the output channels of a group are not a multiple of four.
override RAGGED: bool = true;

// Replaces components by zero where the tap is outside the input.
fn inside(v: vec4<f32>, ok: vec4<bool>) -> vec4<f32> {
    return select(vec4<f32>(), v, ok);
}

fn load4(at: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(arena[at.x], arena[at.y], arena[at.z], arena[at.w]);
}

// The first taps of four pixels of the result, as input positions.
struct Pixels {
    image: vec4<i32>,
    iy: vec4<i32>,
    ix: vec4<i32>,
}

// Pixels beyond the last one repeat it.
fn pixels_from(first: u32) -> Pixels {
    let pixel = min(vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(uniforms.pixels - 1u));
    let row = pixel / uniforms.y.w;
    let n = row / uniforms.y.h;
    return Pixels(
        vec4<i32>(n * (uniforms.x.h * uniforms.x.w)),
        vec4<i32>((row - n * uniforms.y.h) * uniforms.window.stride.x) - uniforms.window.pad.x,
        vec4<i32>((pixel - row * uniforms.y.w) * uniforms.window.stride.y) - uniforms.window.pad.y,
    );
}

fn outer(x: vec4<f32>, w: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(x.x * w, x.y * w, x.z * w, x.w * w);
}

@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    let blocks = (uniforms.cout + 3u) / 4u;
    let columns = blocks * uniforms.groups;
    let first = index / columns * 8u;
    if (first >= uniforms.pixels) {
        return;
    }
    let group = index % columns / blocks;
    let block = index % blocks;
    let p = pixels_from(first);
    let q = pixels_from(first + 4u);
    let channel = i32(uniforms.x.offset + group * uniforms.cin);

    var bias = vec4<f32>();
    if (uniforms.bias != NONE) {
        bias = params[uniforms.bias + group * blocks + block];
    }
    var acc_p = mat4x4<f32>(bias, bias, bias, bias);
    var acc_q = acc_p;
    // A software adapter would otherwise read uniforms in every iteration.
    let taps = uniforms.taps;
    let run = uniforms.run;
    let cin = i32(uniforms.cin);
    let size = vec2<i32>(vec2<u32>(uniforms.x.h, uniforms.x.w));
    let pixel_stride = i32(uniforms.x.pixel_stride);
    let dilation = uniforms.window.dilation;
    let kernel_h = uniforms.window.kernel.x;
    var k = uniforms.weights + group * uniforms.depth * blocks + block;
    for (var ky = 0u; ky < kernel_h; ky++) {
        let py = p.iy + i32(ky * dilation.x);
        let qy = q.iy + i32(ky * dilation.x);
        let p_row = (py >= vec4<i32>()) & (py < vec4<i32>(size.x));
        let q_row = (qy >= vec4<i32>()) & (qy < vec4<i32>(size.x));
        for (var kx = 0u; kx < taps; kx++) {
            let px = p.ix + i32(kx * dilation.y);
            let qx = q.ix + i32(kx * dilation.y);
            let p_at = vec4<u32>(channel + (p.image + py * size.y + px) * pixel_stride);
            let q_at = vec4<u32>(channel + (q.image + qy * size.y + qx) * pixel_stride);
            // The part of a run that is inside the input. A run over one pixel is inside as a whole or not at all.
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
    let count = uniforms.cout - block * 4u;
    let stride_y = uniforms.y.pixel_stride;
    let left = uniforms.pixels - first;
    let to = uniforms.y.offset + first * stride_y + group * uniforms.cout + block * 4u;
    if (uniforms.addend != NONE) {
        let at = uniforms.addend + group * uniforms.cout + block * 4u;
        acc_p += addend4(at, first);
        acc_q += addend4(at, first + 4u);
    }
    finish4(to, acc_p, count, left);
    if (left > 4u) {
        finish4(to + 4u * stride_y, acc_q, count, left - 4u);
    }
}

// Four pixels of the addend. Values beyond the last pixel or channel are arbitrary and never written.
fn addend4(at: u32, first: u32) -> mat4x4<f32> {
    let p = vec4<u32>(at) + (vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u)) * uniforms.addend_pixel_stride;
    let i = vec4<u32>(0u, 1u, 2u, 3u);
    return mat4x4<f32>(load4(p.x + i), load4(p.y + i), load4(p.z + i), load4(p.w + i));
}

// Writes `left` pixels of `count` channels.
fn finish4(at: u32, v: mat4x4<f32>, count: u32, left: u32) {
    let pixel_stride = uniforms.y.pixel_stride;
    finish(at, v[0], count);
    if (left > 1u) {
        finish(at + pixel_stride, v[1], count);
    }
    if (left > 2u) {
        finish(at + 2u * pixel_stride, v[2], count);
    }
    if (left > 3u) {
        finish(at + 3u * pixel_stride, v[3], count);
    }
}

fn finish(at: u32, v: vec4<f32>, count: u32) {
    write4(at, vec4<f32>(activate(v.x), activate(v.y), activate(v.z), activate(v.w)), count);
}

// Computes one pixel per invocation, for linear layers at small batches, where blocks of eight would be mostly idle.
@compute @workgroup_size(WORKGROUP)
fn forward_vector(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    let blocks = (uniforms.cout + 3u) / 4u;
    let n = index / blocks;
    if (n >= uniforms.pixels) {
        return;
    }
    let block = index % blocks;
    var acc = vec4<f32>();
    if (uniforms.bias != NONE) {
        acc = params[uniforms.bias + block];
    }
    let x = uniforms.x.offset + n * uniforms.x.pixel_stride;
    let run = uniforms.run;
    var k = uniforms.weights + block;
    for (var j = 0u; j < run; j++) {
        acc += arena[x + j] * params[k];
        k += blocks;
    }
    if (uniforms.addend != NONE) {
        let at = uniforms.addend + n * uniforms.addend_pixel_stride + block * 4u;
        acc += load4(vec4<u32>(at) + vec4<u32>(0u, 1u, 2u, 3u));
    }
    finish(uniforms.y.offset + n * uniforms.y.pixel_stride + block * 4u, acc, uniforms.cout - block * 4u);
}

// Four output channels of the gradient at one output pixel; zero where `exists` is false or the pixel is not `ok`. Free
// of branches: a dozen `&&` in the loop make a software adapter compile for ten seconds.
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

// The range of taps on one axis that reach any of eight inputs, given by their positions in the padded input.
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
    let pixel = min(vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(uniforms.pixels - 1u));
    let row = pixel / uniforms.x.w;
    let n = row / uniforms.x.h;
    return Inputs(
        n,
        vec4<i32>(row - n * uniforms.x.h) + uniforms.window.pad.x,
        vec4<i32>(pixel - row * uniforms.x.w) + uniforms.window.pad.y,
    );
}

// The outputs that one tap of four inputs leads to on one axis, and whether they exist.
struct Outputs {
    at: vec4<u32>,
    ok: vec4<bool>,
}

fn outputs_of(t: vec4<i32>, tap: u32, stride: i32, dilation: u32, size: u32) -> Outputs {
    let u = t - i32(tap * dilation);
    let o = u / stride;
    return Outputs(vec4<u32>(o), (u >= vec4<i32>()) & (o * stride == u) & (o < vec4<i32>(i32(size))));
}

// Each invocation computes eight input pixels by four input channels. No two invocations write to one address.
@compute @workgroup_size(WORKGROUP)
fn backward_input(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    let channel_blocks = (uniforms.cin + 3u) / 4u;
    let columns = channel_blocks * uniforms.groups;
    let first = index / columns * 8u;
    if (first >= uniforms.pixels) {
        return;
    }
    let group = index % columns / channel_blocks;
    let channel = index % channel_blocks * 4u;
    let blocks = (uniforms.cout + 3u) / 4u;
    let p = inputs_from(first);
    let q = inputs_from(first + 4u);
    let stride = vec2<i32>(uniforms.window.stride);
    let dilation = uniforms.window.dilation;
    let size = vec2<u32>(uniforms.y.h, uniforms.y.w);
    let range_y = tap_range(p.y, q.y, uniforms.window.stride.x, dilation.x, uniforms.window.kernel.x, size.x);
    let range_x = tap_range(p.x, q.x, uniforms.window.stride.y, dilation.y, uniforms.window.kernel.y, size.y);
    let start = uniforms.y.offset + group * uniforms.cout;
    // Beyond the last channel, its row is read again instead of a row of the next tap.
    let row = min(vec4<u32>(channel) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(uniforms.cin - 1u)) * blocks;
    let weights = uniforms.weights + group * uniforms.depth * blocks;
    let cin = uniforms.cin;
    let cout = uniforms.cout;
    let kernel_w = uniforms.window.kernel.y;
    let pixel_stride = uniforms.y.pixel_stride;

    var acc_p = mat4x4<f32>();
    var acc_q = mat4x4<f32>();
    for (var ky = range_y.x; ky < range_y.y; ky++) {
        let py = outputs_of(p.y, ky, stride.x, dilation.x, size.x);
        let qy = outputs_of(q.y, ky, stride.x, dilation.x, size.x);
        for (var kx = range_x.x; kx < range_x.y; kx++) {
            let px = outputs_of(p.x, kx, stride.y, dilation.y, size.y);
            let qx = outputs_of(q.x, kx, stride.y, dilation.y, size.y);
            let p_at = start + ((p.n * size.x + py.at) * size.y + px.at) * pixel_stride;
            let q_at = start + ((q.n * size.x + qy.at) * size.y + qx.at) * pixel_stride;
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
    let stride_x = uniforms.x.pixel_stride;
    let left = uniforms.pixels - first;
    let to = uniforms.x.offset + first * stride_x + group * cin + channel;
    save_inputs(to, acc_p, count, left);
    if (left > 4u) {
        save_inputs(to + 4u * stride_x, acc_q, count, left - 4u);
    }
}

// The products of four rows of weights with four channels of the gradient, for four pixels.
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
    let pixel_stride = uniforms.x.pixel_stride;
    write4(at, v[0], count);
    if (left > 1u) {
        write4(at + pixel_stride, v[1], count);
    }
    if (left > 2u) {
        write4(at + 2u * pixel_stride, v[2], count);
    }
    if (left > 3u) {
        write4(at + 3u * pixel_stride, v[3], count);
    }
}

// Input offsets of four summed indices k, relative to a pixel of the output.
struct Taps {
    channel: vec4<i32>,
    y: vec4<i32>,
    x: vec4<i32>,
    // The bias is an additional k whose input is always 1.
    is_weight: vec4<bool>,
}

fn taps_from(first: u32, group: u32) -> Taps {
    let k = vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u);
    let inside_k = min(k, vec4<u32>(uniforms.depth - 1u));
    let tap = inside_k / uniforms.cin;
    let ky = tap / uniforms.window.kernel.y;
    return Taps(
        i32(uniforms.x.offset + group * uniforms.cin) + vec4<i32>(inside_k - tap * uniforms.cin),
        vec4<i32>(ky * uniforms.window.dilation.x) - uniforms.window.pad.x,
        vec4<i32>((tap - ky * uniforms.window.kernel.y) * uniforms.window.dilation.y) - uniforms.window.pad.y,
        k < vec4<u32>(uniforms.depth),
    );
}

// Each invocation computes eight k by four columns, summed over a slice of the output rows.
@compute @workgroup_size(WORKGROUP)
fn backward_weights(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    let blocks = (uniforms.cout + 3u) / 4u;
    let columns = blocks * uniforms.groups;
    let depth = uniforms.depth + u32(uniforms.bias != NONE);
    let k_blocks = (depth + 7u) / 8u;
    let split = index / (columns * k_blocks);
    if (split >= uniforms.splits) {
        return;
    }
    let group = index % columns / blocks;
    let block = index % blocks;
    let k = index / columns % k_blocks * 8u;
    let p = taps_from(k, group);
    let q = taps_from(k + 4u, group);

    let first_y = uniforms.y.offset + group * uniforms.cout + block * 4u;
    let y = vec3<u32>(uniforms.y.h, uniforms.y.w, uniforms.y.pixel_stride);
    let size = vec2<i32>(vec2<u32>(uniforms.x.h, uniforms.x.w));
    let pixel_stride = i32(uniforms.x.pixel_stride);
    let stride = uniforms.window.stride;
    let advance = stride.y * uniforms.x.pixel_stride;
    let last = min((split + 1u) * uniforms.slice, uniforms.batch * y.x);
    var acc_p = mat4x4<f32>();
    var acc_q = mat4x4<f32>();
    for (var r = split * uniforms.slice; r < last; r++) {
        let n = r / y.x;
        let iy = i32((r - n * y.x) * stride.x);
        let image = i32(n) * size.x * size.y;
        let py = p.y + iy;
        let qy = q.y + iy;
        let p_row = (py >= vec4<i32>()) & (py < vec4<i32>(size.x));
        let q_row = (qy >= vec4<i32>()) & (qy < vec4<i32>(size.x));
        var p_at = vec4<u32>(p.channel + (image + py * size.y + p.x) * pixel_stride);
        var q_at = vec4<u32>(q.channel + (image + qy * size.y + q.x) * pixel_stride);
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
    let depth = uniforms.depth + u32(uniforms.bias != NONE);
    if (k >= depth) {
        return;
    }
    let blocks = (uniforms.cout + 3u) / 4u;
    let group = column / blocks;
    let left = uniforms.cout - column % blocks * 4u;
    // The sums of padded columns come from memory of other values.
    let clean = inside(v, vec4<bool>(true, left > 1u, left > 2u, left > 3u));
    if (uniforms.splits > 1u) {
        let stored = uniforms.groups * blocks * 4u * depth;
        let row = group * depth + k;
        write4(uniforms.scratch + split * stored + (row * blocks + column % blocks) * 4u, clean, 4u);
        return;
    }
    var at = uniforms.bias + column * 4u;
    if (k < uniforms.depth) {
        at = uniforms.weights + ((group * uniforms.depth + k) * blocks + column % blocks) * 4u;
    }
    grads[at] = accumulated(at) + clean.x;
    grads[at + 1u] = accumulated(at + 1u) + clean.y;
    grads[at + 2u] = accumulated(at + 2u) + clean.z;
    grads[at + 3u] = accumulated(at + 3u) + clean.w;
}
