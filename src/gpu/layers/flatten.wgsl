// Between a map (`a`, NHWC) and vectors in CHW order (`b`, one for each sample): flatten, and the network's doors.

fn vector_at(index: u32) -> u32 {
    let size = step.a.c * step.a.h * step.a.w;
    let at = logical(step.a, index);
    return step.b.offset + at / size * step.b.pitch + at % size;
}

@compute @workgroup_size(WORKGROUP)
fn to_vector(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index < step.elements) {
        write(vector_at(index), arena[element(step.a, index)]);
    }
}

@compute @workgroup_size(WORKGROUP)
fn to_map(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index < step.elements) {
        write(element(step.a, index), arena[vector_at(index)]);
    }
}
