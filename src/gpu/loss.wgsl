// Losses on logits and their gradients, by one workgroup. Invocation i computes samples i, i + 64, …; the first
// invocation adds up the losses in a fixed order.

struct LossUniforms {
    z: ViewUniforms,
    dz: ViewUniforms,
    batch: u32,
    // Outputs of one sample.
    outputs: u32,
    smoothing: f32,
    // Weight of this output in the loss of the network.
    weight: f32,
    // 1 for the main output, which counts the correct samples; 0 for others.
    main: u32,
}

@group(0) @binding(4) var<uniform> uniforms: LossUniforms;

// Whether the loss is softmax cross-entropy; if not, it is binary cross-entropy.
override SOFTMAX: bool = true;

var<workgroup> losses: array<f32, WORKGROUP>;
var<workgroup> corrects: array<u32, WORKGROUP>;
var<workgroup> non_finites: array<u32, WORKGROUP>;

// The address of output k of sample s. Outputs are counted in CHW order.
fn address(p: ViewUniforms, s: u32, k: u32) -> u32 {
    let area = p.h * p.w;
    return p.offset + (s * area + k % area) * p.pixel_stride + k / area;
}

fn target_of(label: u32, k: u32) -> f32 {
    if (SOFTMAX) {
        return select(0.0, 1.0 - uniforms.smoothing, label == k) + uniforms.smoothing / f32(uniforms.outputs);
    }
    return select(0.0, 1.0, select(label == k, label == 1u, uniforms.outputs == 1u));
}

fn sample(s: u32, lane: u32) {
    let label = control.labels[s];
    let before = control.labels[(s + uniforms.batch - 1u) % uniforms.batch];
    let share = uniforms.weight / f32(uniforms.batch);
    var best = 0u;
    var maximum = arena[address(uniforms.z, s, 0u)];
    for (var k = 0u; k < uniforms.outputs; k++) {
        let z = arena[address(uniforms.z, s, k)];
        if (!is_finite(z)) {
            non_finites[lane] = 1u;
        }
        if (z > maximum) {
            maximum = z;
            best = k;
        }
    }
    if (uniforms.outputs == 1u) {
        best = select(0u, 1u, maximum > 0.0);
    }
    corrects[lane] += select(0u, 1u, best == label);
    var log_sum = 0.0;
    if (SOFTMAX) {
        for (var k = 0u; k < uniforms.outputs; k++) {
            log_sum += exp(arena[address(uniforms.z, s, k)] - maximum);
        }
        log_sum = log(log_sum);
    }
    var loss = 0.0;
    for (var k = 0u; k < uniforms.outputs; k++) {
        let z = arena[address(uniforms.z, s, k)];
        let t = mix(target_of(before, k), target_of(label, k), control.mixup_lambda);
        var d: f32;
        if (SOFTMAX) {
            let log_p = z - maximum - log_sum;
            loss -= t * log_p;
            d = exp(log_p) - t;
        } else {
            // max(z, 0) - z t + log(1 + exp(-|z|)) cannot overflow.
            loss += max(z, 0.0) - z * t + log(1.0 + exp(-abs(z)));
            d = sigmoid(z) - t;
        }
        write(address(uniforms.dz, s, k), d * share);
    }
    losses[lane] += loss;
}

@compute @workgroup_size(WORKGROUP)
fn loss(@builtin(local_invocation_index) lane: u32) {
    losses[lane] = 0.0;
    corrects[lane] = 0u;
    non_finites[lane] = 0u;
    for (var s = lane; s < uniforms.batch; s += WORKGROUP) {
        sample(s, lane);
    }
    workgroupBarrier();
    if (lane != 0u) {
        return;
    }
    var sum = 0.0;
    for (var i = 0u; i < WORKGROUP; i++) {
        sum += losses[i];
        atomicOr(&control.non_finite, non_finites[i]);
        control.correct += corrects[i] * uniforms.main;
    }
    let total = control.loss + sum * uniforms.weight / f32(uniforms.batch);
    control.loss = total;
    if (!is_finite(total)) {
        atomicOr(&control.non_finite, 1u);
    }
}
