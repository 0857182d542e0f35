// Activations and their derivatives.

@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index < uniforms.elements) {
        write(element(uniforms.y, index), activate(arena[element(uniforms.a, index)]));
    }
}

// `a` is the result of the activation, `b` its gradient, `y` the gradient of the argument, which may lie in place of
// `b`.
@compute @workgroup_size(WORKGROUP)
fn backward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index < uniforms.elements) {
        let d = arena[element(uniforms.b, index)] * derivative(arena[element(uniforms.a, index)]);
        write(element(uniforms.y, index), d);
    }
}
