// The update of a segment of parameters by SGD with momentum or Nesterov momentum, Adam, AdamW or RMSProp.

struct OptimizerUniforms {
    // The segment, counted in vec4.
    start: u32,
    end: u32,
    // In the parameter buffer, counted in vec4: the end of weights with decay, and the end of all trained parameters,
    // after which running statistics lie.
    decaying: u32,
    trained: u32,
    // Factor of the learning rate.
    rate: f32,
    // The first of the partial sums in the arena.
    scratch: u32,
}

@group(0) @binding(1) var<storage, read_write> params: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> grads: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> uniforms: OptimizerUniforms;
// Velocities of momentum, or first moments of Adam.
@group(0) @binding(5) var<storage, read_write> moments1: array<vec4<f32>>;
// Second moments of Adam, or mean squares of RMSProp.
@group(0) @binding(6) var<storage, read_write> moments2: array<vec4<f32>>;

// The optimizer: 0 SGD, 1 Adam and AdamW, 2 RMSProp.
override RULE: u32 = 0u;
// Partial sums of the squared norm of all gradients.
const NORM_PARTS: u32 = 4096u;

var<workgroup> sums: array<f32, WORKGROUP>;

// Runs before the update. Reports gradients that are not finite.
@compute @workgroup_size(WORKGROUP)
fn check(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = uniforms.start + invocation(id, groups);
    if (i >= uniforms.end) {
        return;
    }
    let g = grads[i];
    if (!(is_finite(g.x) && is_finite(g.y) && is_finite(g.z) && is_finite(g.w))) {
        atomicOr(&control.non_finite, 1u);
    }
}

// Runs before the update. Writes partial sums of squared gradients.
@compute @workgroup_size(WORKGROUP)
fn squares(@builtin(global_invocation_id) id: vec3<u32>) {
    var sum = 0.0;
    for (var i = uniforms.start + id.x; i < min(uniforms.end, uniforms.trained); i += NORM_PARTS) {
        sum += dot(grads[i], grads[i]);
    }
    write(uniforms.scratch + id.x, sum);
}

// Runs after `squares` of all segments. Scales gradients so that their norm is at most the limit.
@compute @workgroup_size(WORKGROUP)
fn clip(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var i = lane; i < NORM_PARTS; i += WORKGROUP) {
        sum += arena[uniforms.scratch + i];
    }
    sums[lane] = sum;
    workgroupBarrier();
    if (lane != 0u) {
        return;
    }
    sum = 0.0;
    for (var i = 0u; i < WORKGROUP; i++) {
        sum += sums[i];
    }
    if (!is_finite(sum)) {
        atomicOr(&control.non_finite, 1u);
    }
    control.scale = min(control.scale, control.clip_norm / sqrt(max(sum, 1e-38)));
}

// Reports new values that are not finite.
fn check_new(v: vec4<f32>) {
    if (!(is_finite(v.x) && is_finite(v.y) && is_finite(v.z) && is_finite(v.w))) {
        atomicOr(&control.non_finite, 2u);
    }
}

@compute @workgroup_size(WORKGROUP)
fn update(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = uniforms.start + invocation(id, groups);
    if (i >= uniforms.end || (atomicLoad(&control.non_finite) & 1u) != 0u) {
        return;
    }
    let w = params[i];
    if (i >= uniforms.trained) {
        // The gradients of running statistics hold their change.
        params[i] = w + grads[i];
        check_new(params[i]);
        return;
    }
    let decays = i < uniforms.decaying;
    let g = control.scale * grads[i] + select(0.0, control.decay, decays) * w;
    let rate = control.rate * uniforms.rate;
    let m = moments1[i];
    if (RULE == 1u) {
        let v = moments2[i];
        let m2 = control.beta1 * m + (1.0 - control.beta1) * g;
        let v2 = control.beta2 * v + (1.0 - control.beta2) * g * g;
        moments1[i] = m2;
        moments2[i] = v2;
        let change = (m2 / control.correction1) / (sqrt(v2 / control.correction2) + control.epsilon);
        let kept = w * (1.0 - select(0.0, rate * control.decoupled_decay, decays));
        // The padding of the columns stays zero even when epsilon is zero.
        params[i] = kept - rate * select(change, vec4<f32>(), m2 == vec4<f32>());
    } else if (RULE == 2u) {
        let v2 = control.beta2 * moments2[i] + (1.0 - control.beta2) * g * g;
        let change = g / (sqrt(v2) + control.epsilon);
        let m2 = control.beta1 * m + select(change, vec4<f32>(), g == vec4<f32>());
        moments1[i] = m2;
        moments2[i] = v2;
        params[i] = w - rate * m2;
    } else {
        let v = control.beta1 * m + g;
        moments1[i] = v;
        params[i] = w - rate * select(v, g + control.beta1 * v, control.nesterov == 1u);
    }
    check_new(params[i]);
    check_new(moments1[i]);
    if (RULE != 0u) {
        check_new(moments2[i]);
    }
}
