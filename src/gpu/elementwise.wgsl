// Uniforms of element-wise kernels: operands `a` and `b`, result `y`.
struct ElementwiseUniforms {
    a: ViewUniforms,
    b: ViewUniforms,
    y: ViewUniforms,
    // Invocations that compute something, for the whole batch.
    elements: u32,
    // Dropout: stream of random words, the word below which a value is dropped, factor of kept values.
    stream: u32,
    threshold: u32,
    scale: f32,
}

@group(0) @binding(4) var<uniform> uniforms: ElementwiseUniforms;
