// y[c] = x[c] * base[c]^-POWER with base[c] = K + SCALE * (sum of squares over SIZE channels around c).

override SIZE: u32 = 1u;
override SCALE: f32 = 0.0;
override POWER: f32 = 0.0;
override K: f32 = 1.0;

// The existing ones among `SIZE` channels, of which `before` precede c.
fn around(c: u32, before: u32) -> vec2<u32> {
    return vec2<u32>(c - min(c, before), min(c + SIZE - before, uniforms.a.c));
}

fn base(pixel: u32, c: u32) -> f32 {
    let range = around(c, (SIZE - 1u) / 2u);
    var sum = 0.0;
    for (var j = range.x; j < range.y; j++) {
        let x = arena[pixel + j];
        sum += x * x;
    }
    return K + SCALE * sum;
}

@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index < uniforms.elements) {
        let c = index % uniforms.a.c;
        let x = element(uniforms.a, index);
        arena[element(uniforms.y, index)] = arena[x] * pow(base(x - c, c), -POWER);
    }
}

// `a` is the argument, `b` the gradient of the result, `y` the gradient of the argument.
@compute @workgroup_size(WORKGROUP)
fn backward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= uniforms.elements) {
        return;
    }
    let c = index % uniforms.a.c;
    let x = element(uniforms.a, index) - c;
    let dy = element(uniforms.b, index) - c;
    // The channels whose bases contain c.
    let range = around(c, SIZE / 2u);
    var sum = 0.0;
    for (var j = range.x; j < range.y; j++) {
        sum += arena[dy + j] * arena[x + j] * pow(base(x, j), -POWER - 1.0);
    }
    let through_bases = 2.0 * SCALE * POWER * arena[x + c] * sum;
    write(element(uniforms.y, index), arena[dy + c] * pow(base(x, c), -POWER) - through_bases);
}
