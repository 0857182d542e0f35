// Element-wise functions.

@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index < step.elements) {
        write(element(step.y, index), activate(arena[element(step.a, index)]));
    }
}

// a is the activation's result, b its gradient, y the gradient of its argument (which may be b itself).
@compute @workgroup_size(WORKGROUP)
fn backward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index < step.elements) {
        let d = arena[element(step.b, index)] * derivative(arena[element(step.a, index)]);
        write(element(step.y, index), d);
    }
}
