// Dropout in training. Backward applies the mask of forward to the gradient.

@compute @workgroup_size(WORKGROUP)
fn mask(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index < uniforms.elements) {
        let word = random_word(control.seed, uniforms.stream, nchw_position(uniforms.y, index));
        let kept = arena[element(uniforms.a, index)] * uniforms.scale;
        write(element(uniforms.y, index), select(0.0, kept, word >= uniforms.threshold));
    }
}
