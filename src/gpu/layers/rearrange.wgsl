// Moves values: index o of y shows index (o * times + plus) / over of a, if that is one; channels shuffled by groups.

struct Step {
    a: Place,
    y: Place,
    times: vec4<i32>,
    plus: vec4<i32>,
    over: vec4<i32>,
    groups: u32,
    fill: f32,
    elements: u32,
    unused: u32,
}

@group(0) @binding(4) var<uniform> step: Step;

@compute @workgroup_size(WORKGROUP)
fn rearrange(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= step.elements) {
        return;
    }
    let pixel = index / step.y.c;
    let o = index % step.y.c;
    let c = o % step.groups * (step.y.c / step.groups) + o / step.groups;
    let row = pixel / step.y.w;
    let at = vec3<i32>(vec3<u32>(c, row % step.y.h, pixel % step.y.w)) * step.times.xyz + step.plus.xyz;
    let source = at / step.over.xyz;
    let size = vec3<i32>(vec3<u32>(step.a.c, step.a.h, step.a.w));
    var v = step.fill;
    if (all(at >= vec3<i32>()) & all(at % step.over.xyz == vec3<i32>()) & all(source < size)) {
        let i = vec3<u32>(source);
        let n = row / step.y.h;
        v = arena[step.a.offset + ((n * step.a.h + i.y) * step.a.w + i.z) * step.a.pitch + i.x];
    }
    write(element(step.y, index), v);
}
