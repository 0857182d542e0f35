// Sum of two values, with an activation.

@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index < step.elements) {
        let sum = arena[element(step.a, index)] + arena[element(step.b, index)];
        arena[element(step.y, index)] = activate(sum);
    }
}
