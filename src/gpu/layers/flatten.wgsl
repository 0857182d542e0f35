// Copies between a map (`a`, NHWC) and vectors in CHW order (`b`, one for each sample).

fn vector_at(index: u32) -> u32 {
    let size = uniforms.a.c * uniforms.a.h * uniforms.a.w;
    let at = nchw_position(uniforms.a, index);
    return uniforms.b.offset + at / size * uniforms.b.pixel_stride + at % size;
}

@compute @workgroup_size(WORKGROUP)
fn to_vector(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index < uniforms.elements) {
        write(vector_at(index), arena[element(uniforms.a, index)]);
    }
}

@compute @workgroup_size(WORKGROUP)
fn to_map(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index < uniforms.elements) {
        write(element(uniforms.a, index), arena[vector_at(index)]);
    }
}
