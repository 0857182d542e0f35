// What element-wise layers share: up to two operands `a` and `b` and a result, all of one geometry.
struct ElementwiseUniforms {
    a: ViewUniforms,
    b: ViewUniforms,
    y: ViewUniforms,
    // For the whole batch.
    elements: u32,
    // Dropout: the node's stream, the words below which a value is dropped, what the others are multiplied by.
    stream: u32,
    threshold: u32,
    scale: f32,
}

@group(0) @binding(4) var<uniform> uniforms: ElementwiseUniforms;
