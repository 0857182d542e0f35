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
const tensor = (name, { shape, data: d }) =>
  message(5, ...shape.map((n) => int(1, n)), int(2, 1), text(8, name), data(9, bytes(d)));
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
  const body = Buffer.concat([
    ...graph.ops.map(nodeOf),
    text(2, graph.name),
    ...[...graph.params].map((p) => tensor(...p)),
    ...(graph.ops.some((o) => o.op === "relu6") ? limits : []),
    value(11, "x", graph.input),
    value(12, graph.output, [1, graph.classes]),
  ]);
  return [int(1, 8), text(2, "convoke-bench"), data(7, body), message(8, text(1, ""), int(2, 17))];
}
