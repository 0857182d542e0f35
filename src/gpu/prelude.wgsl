// Declarations that all shaders share. The shaders themselves declare bindings 1 (parameters), 2 (gradients of
// parameters), 4 (uniforms), 5 and 6 (moments of the optimizer), whose types differ between shaders.

// Where a value lies in the arena: NHWC, with `pixel_stride` floats from one pixel to the next.
struct ViewUniforms {
    offset: u32,
    pixel_stride: u32,
    c: u32,
    h: u32,
    // Uniform blocks align nested structs to 16 bytes.
    @size(16) w: u32,
}

// A window of a convolution or pooling. Each pair is vertical, then horizontal.
struct WindowUniforms {
    kernel: vec2<u32>,
    stride: vec2<u32>,
    // Padding before the input.
    pad: vec2<i32>,
    dilation: vec2<u32>,
}

// Numbers that change from one training step to the next, and the report of a step.
struct Control {
    loss: f32,
    correct: u32,
    // 1 when the loss, a logit or a gradient is not finite. No parameter is updated then.
    non_finite: atomic<u32>,
    seed: u32,
    rate: f32,
    decay: f32,
    // Momentum, or Adam's first beta.
    beta1: f32,
    // Adam's second beta, or RMSProp's alpha.
    beta2: f32,
    epsilon: f32,
    correction1: f32,
    correction2: f32,
    nesterov: u32,
    // Weight decay of AdamW.
    decoupled_decay: f32,
    // Factor of gradients: the inverse of the number of micro-batches, less where the norm exceeds its limit.
    scale: f32,
    clip_norm: f32,
    // 1 when gradients are added to the gradients of earlier micro-batches.
    accumulate_gradients: u32,
    // Weight of a sample's own label. The label of the previous sample has the rest.
    mixup_lambda: f32,
    labels: array<u32>,
}

@group(0) @binding(0) var<storage, read_write> arena: array<f32>;
@group(0) @binding(3) var<storage, read_write> control: Control;

const WORKGROUP: u32 = 64u;
const NONE: u32 = 0xffffffffu;

// The activation: 0 none, 1 ReLU, 2 sigmoid, 3 tanh, 4 leaky ReLU (slope), 5 clip (bounds), 6 hard sigmoid (slope,
// value at 0), 7 fake quantization (scale, the lowest of 256 multiples).
override ACTIVATION: u32 = 0u;
override ALPHA: f32 = 0.0;
override BETA: f32 = 0.0;
// Whether the kernel adds to its output instead of overwriting it.
override ACCUMULATE: bool = false;

// The index of this invocation in a dispatch of one or two dimensions.
fn invocation(id: vec3<u32>, groups: vec3<u32>) -> u32 {
    return id.y * (groups.x * WORKGROUP) + id.x;
}

// The address of element `e` of a value. Elements are counted in NHWC order.
fn element(p: ViewUniforms, e: u32) -> u32 {
    return p.offset + (e / p.c) * p.pixel_stride + e % p.c;
}

// The position in an NCHW tensor of element `e`, which is counted in NHWC order.
fn nchw_position(p: ViewUniforms, e: u32) -> u32 {
    let pixel = e / p.c;
    let area = p.h * p.w;
    return (pixel / area * p.c + e % p.c) * area + pixel % area;
}

// Tests bits, because WGSL lets compilers assume that no value is NaN or infinite.
fn is_finite(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7f800000u) != 0x7f800000u;
}

fn is_nan(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
}

// exp(-|v|) cannot overflow.
fn sigmoid(v: f32) -> f32 {
    let e = exp(-abs(v));
    return select(e, 1.0, v >= 0.0) / (1.0 + e);
}

fn tanh_by_exp(v: f32) -> f32 {
    let e = exp(-2.0 * abs(v));
    return sign(v) * (1.0 - e) / (1.0 + e);
}

fn activate(v: f32) -> f32 {
    if (ACTIVATION == 1u) {
        return max(v, 0.0);
    }
    if (ACTIVATION == 2u) {
        return sigmoid(v);
    }
    if (ACTIVATION == 3u) {
        return tanh_by_exp(v);
    }
    if (ACTIVATION == 4u) {
        return select(ALPHA * v, v, v > 0.0);
    }
    if (ACTIVATION == 5u) {
        return min(max(v, ALPHA), BETA);
    }
    if (ACTIVATION == 6u) {
        return min(max(ALPHA * v + BETA, 0.0), 1.0);
    }
    if (ACTIVATION == 7u) {
        return ALPHA * clamp(round(v / ALPHA), BETA, BETA + 255.0);
    }
    return v;
}

// The derivative of the activation, as a function of its result.
fn derivative(y: f32) -> f32 {
    if (ACTIVATION == 1u) {
        return select(0.0, 1.0, y > 0.0);
    }
    if (ACTIVATION == 2u) {
        return y * (1.0 - y);
    }
    if (ACTIVATION == 3u) {
        return 1.0 - y * y;
    }
    if (ACTIVATION == 4u) {
        return select(ALPHA, 1.0, y > 0.0);
    }
    if (ACTIVATION == 5u) {
        return select(0.0, 1.0, (y > ALPHA) & (y < BETA));
    }
    if (ACTIVATION == 6u) {
        return select(0.0, ALPHA, (y > 0.0) & (y < 1.0));
    }
    if (ACTIVATION == 7u) {
        return select(0.0, 1.0, (y > ALPHA * BETA) & (y < ALPHA * (BETA + 255.0)));
    }
    return 1.0;
}

fn write(at: u32, v: f32) {
    if (ACCUMULATE) {
        arena[at] += v;
    } else {
        arena[at] = v;
    }
}

// Writes the first `count` components.
fn write4(at: u32, v: vec4<f32>, count: u32) {
    write(at, v.x);
    if (count > 1u) {
        write(at + 1u, v.y);
    }
    if (count > 2u) {
        write(at + 2u, v.z);
    }
    if (count > 3u) {
        write(at + 3u, v.w);
    }
}

fn scramble(v: u32) -> u32 {
    var x = v;
    x ^= x >> 16u;
    x *= 0x7feb352du;
    x ^= x >> 15u;
    x *= 0x846ca68bu;
    return x ^ (x >> 16u);
}

// The random word of `rng::word` in the crate.
fn random_word(seed: u32, stream: u32, counter: u32) -> u32 {
    return scramble(counter ^ scramble(stream ^ scramble(seed ^ 0x9e3779b9u)));
}
