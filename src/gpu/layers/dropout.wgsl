// Dropout while training; its backward is the same function of the gradient.

@compute @workgroup_size(WORKGROUP)
fn mask(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index < step.elements) {
        let word = random_word(control.seed, step.stream, logical(step.y, index));
        let kept = arena[element(step.a, index)] * step.scale;
        write(element(step.y, index), select(0.0, kept, word >= step.threshold));
    }
}
