// Products.

// y = a * b, of the size of a; b may have one pixel for each sample.
@compute @workgroup_size(WORKGROUP)
fn product(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index < step.elements) {
        let spread = step.a.h * step.a.w / (step.b.h * step.b.w);
        let b = step.b.offset + index / step.b.c / spread * step.b.pitch + index % step.b.c;
        write(element(step.y, index), arena[element(step.a, index)] * arena[b]);
    }
}

// The same summed over all pixels of a and b that belong to one of y.
@compute @workgroup_size(WORKGROUP)
fn sum(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= step.elements) {
        return;
    }
    let spread = step.a.h * step.a.w / (step.y.h * step.y.w);
    let c = index % step.y.c;
    let first = index / step.y.c * spread;
    var sum = 0.0;
    for (var p = first; p < first + spread; p++) {
        sum += arena[step.a.offset + p * step.a.pitch + c] * arena[step.b.offset + p * step.b.pitch + c];
    }
    write(element(step.y, index), sum);
}
