// Each value of y is one of a, found by its place in a sample in the order CHW.

struct Step {
    a: Place,
    y: Place,
    size: vec4<u32>,
    strides: vec4<u32>,
}

@group(0) @binding(4) var<uniform> step: Step;

@compute @workgroup_size(WORKGROUP)
fn permute(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= step.size.w) {
        return;
    }
    let at = logical(step.y, index);
    let row = at / step.size.z;
    let coordinates = vec4<u32>(row / step.size.y % step.size.x, row % step.size.y, at % step.size.z, 0u);
    let source = dot(coordinates, step.strides);
    let area = step.a.h * step.a.w;
    let n = row / (step.size.x * step.size.y);
    let pixel = n * area + source % area;
    write(element(step.y, index), arena[step.a.offset + pixel * step.a.pitch + source / area]);
}
