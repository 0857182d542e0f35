// Softmax over the channels of each pixel. `elements` counts pixels here.

@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= step.elements) {
        return;
    }
    let x = step.a.offset + index * step.a.pitch;
    let y = step.y.offset + index * step.y.pitch;
    var most = arena[x];
    for (var c = 1u; c < step.a.c; c++) {
        most = max(most, arena[x + c]);
    }
    var sum = 0.0;
    for (var c = 0u; c < step.a.c; c++) {
        let e = exp(arena[x + c] - most);
        arena[y + c] = e;
        sum += e;
    }
    for (var c = 0u; c < step.a.c; c++) {
        arena[y + c] /= sum;
    }
}

// a is the result, b its gradient, y the gradient of the argument.
@compute @workgroup_size(WORKGROUP)
fn backward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= step.elements) {
        return;
    }
    let a = step.a.offset + index * step.a.pitch;
    let b = step.b.offset + index * step.b.pitch;
    var sum = 0.0;
    for (var c = 0u; c < step.a.c; c++) {
        sum += arena[a + c] * arena[b + c];
    }
    for (var c = 0u; c < step.a.c; c++) {
        write(step.y.offset + index * step.y.pitch + c, arena[a + c] * (arena[b + c] - sum));
    }
}
