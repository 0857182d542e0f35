// The second stage of a weight gradient: adds partial sums, always in the same order.

struct Step {
    scratch: u32,
    splits: u32,
    // Floats of one partial sum: for each group, `depth` rows of weights and then, if there is one, the bias.
    stored: u32,
    depth: u32,
    columns: u32,
    weights: u32,
    bias: u32,
    unused: u32,
}

@group(0) @binding(4) var<uniform> step: Step;

@compute @workgroup_size(WORKGROUP)
fn reduce(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = invocation(id, groups);
    if (index >= step.stored) {
        return;
    }
    var sum = 0.0;
    for (var s = 0u; s < step.splits; s++) {
        sum += arena[step.scratch + s * step.stored + index];
    }
    let rows = step.depth + u32(step.bias != NONE);
    let row = index / step.columns % rows;
    let group = index / (step.columns * rows);
    var at = step.bias + group * step.columns + index % step.columns;
    if (row < step.depth) {
        at = step.weights + (group * step.depth + row) * step.columns + index % step.columns;
    }
    grads[at] = gathered(at) + sum;
}
