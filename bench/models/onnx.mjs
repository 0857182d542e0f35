// ONNX, opset 17, batch norm kept as a node (onnxruntime folds it): just enough protobuf to write it without any tool.
import { bytes } from "./safetensors.mjs";

const varint = (v) => {
  const out = [];
  for (v = BigInt(v); v > 127n; v >>= 7n) out.push(Number(v & 127n) | 128);
  return Buffer.from([...out, Number(v)]);
};
const int = (field, v) => Buffer.concat([varint(field << 3), varint(v)]);
const data = (field, b) => Buffer.concat([varint((field << 3) | 2), varint(b.length), b]);
const text = (field, s) => data(field, Buffer.from(s));
const message = (field, ...parts) => data(field, Buffer.concat(parts));
const float = (field, v) => {
  const b = Buffer.alloc(4);
  b.writeFloatLE(v);
  return Buffer.concat([varint((field << 3) | 5), b]);
};

// AttributeProto: name 1, f 2, i 3, ints 8, type 20 (1 float, 2 int, 7 ints)
const attribute = (name, v) =>
  message(
    5,
    text(1, name),
    ...(Array.isArray(v)
      ? [...v.map((i) => int(8, i)), int(20, 7)]
      : Number.isInteger(v)
        ? [int(3, v), int(20, 2)]
        : [float(2, v), int(20, 1)]),
  );
const node = (type, inputs, output, attributes = {}) =>
  message(
    1,
    ...inputs.map((i) => text(1, i)),
    text(2, output),
    text(3, output),
    text(4, type),
    ...Object.entries(attributes).map((a) => attribute(...a)),
  );
const TYPES = new Map([
  [Float32Array, 1],
  [Uint8Array, 2],
  [Int8Array, 3],
  [Int32Array, 6],
]);
const tensor = (name, { shape, data: d }) =>
  message(5, ...shape.map((n) => int(1, n)), int(2, TYPES.get(d.constructor)), text(8, name), data(9, bytes(d)));
const value = (field, name, shape) =>
  message(
    field,
    text(1, name),
    message(2, message(1, int(1, 1), message(2, ...shape.map((n) => message(1, int(1, n)))))),
  );

/** What ReLU6 clips to; scalars. */
const LIMITS = { zero: 0, six: 6 };

function nodeOf(o) {
  const window = { kernel_shape: [o.k, o.k], strides: [o.s, o.s], pads: [o.p, o.p, o.p, o.p] };
  const p = (...keys) => keys.map((k) => `${o.name}.${k}`);
  switch (o.op) {
    case "conv":
      return node("Conv", [...o.x, ...p("weight", ...(o.bias ? ["bias"] : []))], o.y, {
        ...window,
        dilations: [1, 1],
        group: o.g,
      });
    case "bn":
      return node("BatchNormalization", [...o.x, ...p("weight", "bias", "running_mean", "running_var")], o.y, {
        epsilon: o.epsilon,
      });
    case "relu":
      return node("Relu", o.x, o.y);
    case "relu6":
      return node("Clip", [...o.x, ...Object.keys(LIMITS)], o.y);
    case "maxpool":
      return node("MaxPool", o.x, o.y, { ...window, ceil_mode: Number(o.ceil) });
    case "avgpool":
      return node("AveragePool", o.x, o.y, window);
    case "gap":
      return node("GlobalAveragePool", o.x, o.y);
    case "add":
      return node("Add", o.x, o.y);
    case "concat":
      return node("Concat", o.x, o.y, { axis: 1 });
    case "flatten":
      return node("Flatten", o.x, o.y, { axis: 1 });
    case "fc":
      return node("Gemm", [...o.x, ...p("weight", "bias")], o.y, { transB: 1 });
    default:
      throw new Error(`onnx: no operator for ${o.op}`);
  }
}

export function onnx(graph) {
  const limits = Object.entries(LIMITS).map(([name, v]) => tensor(name, { shape: [], data: Float32Array.of(v) }));
  return file(graph, graph.output, graph.ops.map(nodeOf), [
    ...[...graph.params].map((p) => tensor(...p)),
    ...(graph.ops.some((o) => o.op === "relu6") ? limits : []),
  ]);
}

/**
 * A folded graph in 8 bits, as onnxruntime's quantizer writes it ("QDQ"): operators of floats between QuantizeLinear and
 * DequantizeLinear, which runtimes turn into operators of integers.
 */
export function quantizedOnnx(graph, folded, { activations, weights }) {
  const nodes = [],
    tensors = [];
  const constant = (name, shape, data) => {
    tensors.push(tensor(name, { shape, data }));
    return name;
  };
  /** The value after a passage through bytes. */
  const rounded = (from, name) => {
    const { scale, zero } = activations.get(name);
    const by = [
      constant(`${name}.scale`, [], Float32Array.of(scale)),
      constant(`${name}.zero`, [], Uint8Array.of(zero)),
    ];
    nodes.push(node("QuantizeLinear", [from, ...by], `${name}.bytes`));
    nodes.push(node("DequantizeLinear", [`${name}.bytes`, ...by], dequantized(name)));
  };
  const dequantized = (name) => `${name}.rounded`;
  const parameter = (name, { shape, data }, scales) => {
    const zeros = new data.constructor(scales.length);
    const inputs = [
      constant(`${name}.integers`, shape, data),
      constant(`${name}.scale`, [scales.length], scales),
      constant(`${name}.zero`, [scales.length], zeros),
    ];
    nodes.push(node("DequantizeLinear", inputs, name, { axis: 0 }));
  };
  rounded("x", "x");
  for (const o of folded.ops) {
    const q = weights.get(o);
    if (q) {
      parameter(`${o.name}.weight`, q.w, q.scales);
      parameter(`${o.name}.bias`, q.b, q.biasScales);
    }
    nodes.push(nodeOf({ ...o, x: o.x.map(dequantized), bias: true }));
    if (o.act) nodes.push(node("Relu", [o.y], `${o.y}.${o.act}`));
    rounded(o.act ? `${o.y}.${o.act}` : o.y, o.y);
  }
  return file(graph, dequantized(folded.output), nodes, tensors);
}

function file(graph, output, nodes, tensors) {
  const body = Buffer.concat([
    ...nodes,
    text(2, graph.name),
    ...tensors,
    value(11, "x", graph.input),
    value(12, output, [1, graph.classes]),
  ]);
  return [int(1, 8), text(2, "convoke-bench"), data(7, body), message(8, text(1, ""), int(2, 17))];
}
