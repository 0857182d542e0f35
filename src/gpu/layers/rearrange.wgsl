// Moves values: index o of `y` comes from index (o * times + plus) / over of `a`, or is `fill` where `a` has no such
// index. Channels are first shuffled by groups.

struct RearrangeUniforms {
    a: ViewUniforms,
    y: ViewUniforms,
    times: vec4<i32>,
    plus: vec4<i32>,
    over: vec4<i32>,
    groups: u32,
    fill: f32,
    elements: u32,
}

@group(0) @binding(4) var<uniform> uniforms: RearrangeUniforms;

@compute @workgroup_size(WORKGROUP)
fn rearrange(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= uniforms.elements) {
        return;
    }
    let pixel = index / uniforms.y.c;
    let o = index % uniforms.y.c;
    let c = o % uniforms.groups * (uniforms.y.c / uniforms.groups) + o / uniforms.groups;
    let row = pixel / uniforms.y.w;
    let at = vec3<i32>(vec3<u32>(c, row % uniforms.y.h, pixel % uniforms.y.w)) * uniforms.times.xyz + uniforms.plus.xyz;
    let source = at / uniforms.over.xyz;
    let size = vec3<i32>(vec3<u32>(uniforms.a.c, uniforms.a.h, uniforms.a.w));
    var v = uniforms.fill;
    if (all(at >= vec3<i32>()) & all(at % uniforms.over.xyz == vec3<i32>()) & all(source < size)) {
        let i = vec3<u32>(source);
        let n = row / uniforms.y.h;
        v = arena[uniforms.a.offset + ((n * uniforms.a.h + i.y) * uniforms.a.w + i.z) * uniforms.a.pixel_stride + i.x];
    }
    write(element(uniforms.y, index), v);
}
