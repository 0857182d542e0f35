// Copies a value, or adds it to another; fills with zeros.

@compute @workgroup_size(WORKGROUP)
fn copy(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index < step.elements) {
        write(element(step.y, index), arena[element(step.a, index)]);
    }
}

@compute @workgroup_size(WORKGROUP)
fn clear(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index < step.elements) {
        arena[element(step.y, index)] = 0.0;
    }
}
