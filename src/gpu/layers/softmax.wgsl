// Softmax over the channels of each pixel, or its logarithm. `elements` counts pixels.

// Whether the result is the logarithm.
override LOG: bool = false;

@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= uniforms.elements) {
        return;
    }
    let x = uniforms.a.offset + index * uniforms.a.pixel_stride;
    let y = uniforms.y.offset + index * uniforms.y.pixel_stride;
    var maximum = arena[x];
    for (var c = 1u; c < uniforms.a.c; c++) {
        maximum = max(maximum, arena[x + c]);
    }
    var sum = 0.0;
    for (var c = 0u; c < uniforms.a.c; c++) {
        let e = exp(arena[x + c] - maximum);
        if (!LOG) {
            arena[y + c] = e;
        }
        sum += e;
    }
    for (var c = 0u; c < uniforms.a.c; c++) {
        if (LOG) {
            arena[y + c] = arena[x + c] - maximum - log(sum);
        } else {
            arena[y + c] /= sum;
        }
    }
}

// `a` is the result, `b` its gradient, `y` the gradient of the argument.
@compute @workgroup_size(WORKGROUP)
fn backward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= uniforms.elements) {
        return;
    }
    let a = uniforms.a.offset + index * uniforms.a.pixel_stride;
    let b = uniforms.b.offset + index * uniforms.b.pixel_stride;
    let y = uniforms.y.offset + index * uniforms.y.pixel_stride;
    var sum = 0.0;
    for (var c = 0u; c < uniforms.a.c; c++) {
        if (LOG) {
            sum += arena[b + c];
        } else {
            sum += arena[a + c] * arena[b + c];
        }
    }
    for (var c = 0u; c < uniforms.a.c; c++) {
        if (LOG) {
            write(y + c, arena[b + c] - exp(arena[a + c]) * sum);
        } else {
            write(y + c, arena[a + c] * (arena[b + c] - sum));
        }
    }
}
