// Products.

// Computes y = a * b with the size of a. b may have one pixel for each sample.
@compute @workgroup_size(WORKGROUP)
fn product(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index < uniforms.elements) {
        let spread = uniforms.a.h * uniforms.a.w / (uniforms.b.h * uniforms.b.w);
        let b = uniforms.b.offset + index / uniforms.b.c / spread * uniforms.b.pixel_stride + index % uniforms.b.c;
        write(element(uniforms.y, index), arena[element(uniforms.a, index)] * arena[b]);
    }
}

// Sums a * b over all pixels that belong to one pixel of y.
@compute @workgroup_size(WORKGROUP)
fn sum(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= uniforms.elements) {
        return;
    }
    let spread = uniforms.a.h * uniforms.a.w / (uniforms.y.h * uniforms.y.w);
    let c = index % uniforms.y.c;
    let first = index / uniforms.y.c * spread;
    var sum = 0.0;
    for (var p = first; p < first + spread; p++) {
        let a = arena[uniforms.a.offset + p * uniforms.a.pixel_stride + c];
        sum += a * arena[uniforms.b.offset + p * uniforms.b.pixel_stride + c];
    }
    write(element(uniforms.y, index), sum);
}
