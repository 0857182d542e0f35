// Losses on logits and their gradients, by one workgroup: invocation i takes samples i, i + 64, …, then the first adds
// up, always in the same order.

struct Step {
    z: Place,
    dz: Place,
    batch: u32,
    // Outputs of one sample.
    outputs: u32,
    smoothing: f32,
    // The head's weight in the whole loss.
    weight: f32,
    // 1 for the main head, which counts the correct samples.
    main: u32,
    unused0: u32,
    unused1: u32,
    unused2: u32,
}

@group(0) @binding(4) var<uniform> step: Step;

// Softmax cross-entropy, or else binary cross-entropy.
override SOFTMAX: bool = true;

var<workgroup> losses: array<f32, WORKGROUP>;
var<workgroup> corrects: array<u32, WORKGROUP>;
var<workgroup> bads: array<u32, WORKGROUP>;

// The address of output k (in NCHW order) of sample s.
fn address(p: Place, s: u32, k: u32) -> u32 {
    let area = p.h * p.w;
    return p.offset + (s * area + k % area) * p.pitch + k / area;
}

fn target_of(label: u32, k: u32) -> f32 {
    if (SOFTMAX) {
        return select(0.0, 1.0 - step.smoothing, label == k) + step.smoothing / f32(step.outputs);
    }
    return select(0.0, 1.0, select(label == k, label == 1u, step.outputs == 1u));
}

fn sample(s: u32, lane: u32) {
    let label = control.labels[s];
    let before = control.labels[(s + step.batch - 1u) % step.batch];
    let share = step.weight / f32(step.batch);
    var best = 0u;
    var most = arena[address(step.z, s, 0u)];
    for (var k = 0u; k < step.outputs; k++) {
        let z = arena[address(step.z, s, k)];
        if (!is_finite(z)) {
            bads[lane] = 1u;
        }
        if (z > most) {
            most = z;
            best = k;
        }
    }
    if (step.outputs == 1u) {
        best = select(0u, 1u, most > 0.0);
    }
    corrects[lane] += select(0u, 1u, best == label);
    var log_sum = 0.0;
    if (SOFTMAX) {
        for (var k = 0u; k < step.outputs; k++) {
            log_sum += exp(arena[address(step.z, s, k)] - most);
        }
        log_sum = log(log_sum);
    }
    var loss = 0.0;
    for (var k = 0u; k < step.outputs; k++) {
        let z = arena[address(step.z, s, k)];
        let t = mix(target_of(before, k), target_of(label, k), control.share);
        var d: f32;
        if (SOFTMAX) {
            let log_p = z - most - log_sum;
            loss -= t * log_p;
            d = exp(log_p) - t;
        } else {
            // max(z, 0) - z t + log(1 + exp(-|z|)) cannot overflow.
            loss += max(z, 0.0) - z * t + log(1.0 + exp(-abs(z)));
            d = sigmoid(z) - t;
        }
        write(address(step.dz, s, k), d * share);
    }
    losses[lane] += loss;
}

@compute @workgroup_size(WORKGROUP)
fn loss(@builtin(local_invocation_index) lane: u32) {
    losses[lane] = 0.0;
    corrects[lane] = 0u;
    bads[lane] = 0u;
    for (var s = lane; s < step.batch; s += WORKGROUP) {
        sample(s, lane);
    }
    workgroupBarrier();
    if (lane != 0u) {
        return;
    }
    var sum = 0.0;
    for (var i = 0u; i < WORKGROUP; i++) {
        sum += losses[i];
        atomicOr(&control.bad, bads[i]);
        control.correct += corrects[i] * step.main;
    }
    let total = control.loss + sum * step.weight / f32(step.batch);
    control.loss = total;
    if (!is_finite(total)) {
        atomicOr(&control.bad, 1u);
    }
}
