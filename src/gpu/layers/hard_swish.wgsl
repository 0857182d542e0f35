// Hard swish: x times its hard sigmoid.

@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index < uniforms.elements) {
        let x = arena[element(uniforms.a, index)];
        arena[element(uniforms.y, index)] = x * clamp(x + 3.0, 0.0, 6.0) / 6.0;
    }
}

// `a` is the argument, `b` the gradient of the result, `y` the gradient of the argument.
@compute @workgroup_size(WORKGROUP)
fn backward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index < uniforms.elements) {
        let x = arena[element(uniforms.a, index)];
        let outside = select(0.0, 1.0, x >= 3.0);
        let slope = select(outside, (2.0 * x + 3.0) / 6.0, abs(x) < 3.0);
        write(element(uniforms.y, index), arena[element(uniforms.b, index)] * slope);
    }
}
