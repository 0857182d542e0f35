// The update of all weights of a bank at once: SGD with momentum, Nesterov's momentum, Adam.

struct Step {
    // In vec4: all, those weights that decay, and these with the other weights. Running statistics come last.
    count: u32,
    decaying: u32,
    trained: u32,
    unused: u32,
}

@group(0) @binding(1) var<storage, read_write> params: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> grads: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> step: Step;
// Velocities, or Adam's first moments.
@group(0) @binding(5) var<storage, read_write> state: array<vec4<f32>>;
// Adam's second moments.
@group(0) @binding(6) var<storage, read_write> state2: array<vec4<f32>>;

override ADAM: bool = false;

// Before the update: whether every gradient is finite.
@compute @workgroup_size(WORKGROUP)
fn check(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = invocation(id, groups);
    if (i >= step.count) {
        return;
    }
    let g = grads[i];
    if (!(is_finite(g.x) && is_finite(g.y) && is_finite(g.z) && is_finite(g.w))) {
        atomicOr(&control.bad, 1u);
    }
}

@compute @workgroup_size(WORKGROUP)
fn update(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = invocation(id, groups);
    if (i >= step.count || atomicLoad(&control.bad) != 0u) {
        return;
    }
    let w = params[i];
    if (i >= step.trained) {
        // How far they are to move.
        params[i] = w + grads[i];
        return;
    }
    let g = grads[i] + select(0.0, control.decay, i < step.decaying) * w;
    let m = state[i];
    if (ADAM) {
        let v = state2[i];
        let m2 = control.beta1 * m + (1.0 - control.beta1) * g;
        let v2 = control.beta2 * v + (1.0 - control.beta2) * g * g;
        state[i] = m2;
        state2[i] = v2;
        let change = (m2 / control.correction1) / (sqrt(v2 / control.correction2) + control.epsilon);
        // The padding of the columns stays zero even when epsilon is zero.
        params[i] = w - control.rate * select(change, vec4<f32>(), m2 == vec4<f32>());
    } else {
        let v = control.beta1 * m + g;
        state[i] = v;
        params[i] = w - control.rate * select(v, g + control.beta1 * v, control.nesterov == 1u);
    }
}
