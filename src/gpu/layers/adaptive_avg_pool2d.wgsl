// Adaptive average pooling. Output o of n averages rows from floor(o * h / n) to ceil((o + 1) * h / n) of h. With n and
// h exchanged, the formula gives the outputs that average a row.

fn range(o: u32, outputs: u32, inputs: u32) -> vec2<u32> {
    return vec2<u32>(o * inputs / outputs, ((o + 1u) * inputs + outputs - 1u) / outputs);
}

// The number of rows or columns that output `o` averages.
fn extent(o: u32, outputs: u32, inputs: u32) -> f32 {
    let r = range(o, outputs, inputs);
    return f32(r.y - r.x);
}

// The mean of the part of `a` that belongs to element `index` of `y`. Backward, the sum of the gradients of the means.
fn sum(index: u32, backward: bool) -> f32 {
    let pixel = index / uniforms.y.c;
    let n = pixel / (uniforms.y.h * uniforms.y.w);
    let rows = range(pixel / uniforms.y.w % uniforms.y.h, uniforms.y.h, uniforms.a.h);
    let columns = range(pixel % uniforms.y.w, uniforms.y.w, uniforms.a.w);
    var sum = 0.0;
    for (var y = rows.x; y < rows.y; y++) {
        for (var x = columns.x; x < columns.y; x++) {
            let p = (n * uniforms.a.h + y) * uniforms.a.w + x;
            var v = arena[uniforms.a.offset + p * uniforms.a.pixel_stride + index % uniforms.y.c];
            if (backward) {
                v /= extent(y, uniforms.a.h, uniforms.y.h) * extent(x, uniforms.a.w, uniforms.y.w);
            }
            sum += v;
        }
    }
    return select(sum / f32((rows.y - rows.x) * (columns.y - columns.x)), sum, backward);
}

@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index < uniforms.elements) {
        arena[element(uniforms.y, index)] = sum(index, false);
    }
}

@compute @workgroup_size(WORKGROUP)
fn backward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index < uniforms.elements) {
        write(element(uniforms.y, index), sum(index, true));
    }
}
