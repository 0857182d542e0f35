// The second stage of a weight gradient: adds partial sums in a fixed order.

struct SplitSumUniforms {
    scratch: u32,
    splits: u32,
    // Floats of one partial sum: for each group, `depth` rows of weights and then, if there is one, the bias.
    stored: u32,
    depth: u32,
    columns: u32,
    weights: u32,
    bias: u32,
}

@group(0) @binding(4) var<uniform> uniforms: SplitSumUniforms;

@compute @workgroup_size(WORKGROUP)
fn split_sum(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= uniforms.stored) {
        return;
    }
    var sum = 0.0;
    for (var s = 0u; s < uniforms.splits; s++) {
        sum += arena[uniforms.scratch + s * uniforms.stored + index];
    }
    let rows = uniforms.depth + u32(uniforms.bias != NONE);
    let row = index / uniforms.columns % rows;
    let group = index / (uniforms.columns * rows);
    var at = uniforms.bias + group * uniforms.columns + index % uniforms.columns;
    if (row < uniforms.depth) {
        at = uniforms.weights + (group * uniforms.depth + row) * uniforms.columns + index % uniforms.columns;
    }
    grads[at] = accumulated(at) + sum;
}
