// Permutes axes. Positions in a sample are counted in CHW order.

struct PermuteUniforms {
    a: ViewUniforms,
    y: ViewUniforms,
    size: vec4<u32>,
    strides: vec4<u32>,
}

@group(0) @binding(4) var<uniform> uniforms: PermuteUniforms;

@compute @workgroup_size(WORKGROUP)
fn permute(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= uniforms.size.w) {
        return;
    }
    let at = nchw_position(uniforms.y, index);
    let row = at / uniforms.size.z;
    let channel = row / uniforms.size.y % uniforms.size.x;
    let coordinates = vec4<u32>(channel, row % uniforms.size.y, at % uniforms.size.z, 0u);
    let source = dot(coordinates, uniforms.strides);
    let area = uniforms.a.h * uniforms.a.w;
    let n = row / (uniforms.size.x * uniforms.size.y);
    let pixel = n * area + source % area;
    write(element(uniforms.y, index), arena[uniforms.a.offset + pixel * uniforms.a.pixel_stride + source / area]);
}
