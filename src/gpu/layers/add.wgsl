// The sum of two values, followed by an activation.

@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index < uniforms.elements) {
        let sum = arena[element(uniforms.a, index)] + arena[element(uniforms.b, index)];
        arena[element(uniforms.y, index)] = activate(sum);
    }
}
