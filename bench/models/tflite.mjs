// TensorFlow Lite's flatbuffer, as its converter writes these networks: NHWC, batch norm folded, bias and ReLU
// fused, 'SAME' padding where that means the same numbers, else a PAD before a 'VALID' operator.
// In float32, or in 8 bits with floats in and out, as its full-integer quantization leaves them.
// Field numbers are those of TensorFlow's schema.fbs.
import { bytes } from "./safetensors.mjs";

const OPCODE = {
  add: 0,
  avgpool: 1,
  concat: 2,
  conv: 3,
  depthwise: 4,
  dequantize: 6,
  fc: 9,
  maxpool: 17,
  mul: 18,
  flatten: 22,
  pad: 34,
  gap: 40,
  quantize: 114,
};
const OPTIONS = {
  conv: 1,
  depthwise: 2,
  avgpool: 5,
  maxpool: 5,
  fc: 8,
  concat: 10,
  add: 11,
  flatten: 17,
  mul: 21,
  pad: 22,
  gap: 27,
};
const ACTIVATION = { relu: 1, relu6: 3 };
const FLOAT32 = 0,
  INT32 = 2,
  INT8 = 9,
  SAME = 0,
  VALID = 1;

const nhwc = (shape) => [1, ...(shape.length === 3 ? [shape[1], shape[2], shape[0]] : shape)];

/** [O, C, rest] -> [O, rest, C]: OIHW to OHWI, and the columns of a linear layer behind a flatten. */
function channelsLast(w, [o, c, n]) {
  const out = new w.constructor(w.length);
  for (let i = 0; i < o; i++)
    for (let j = 0; j < c; j++) for (let k = 0; k < n; k++) out[(i * n + k) * c + j] = w[(i * c + j) * n + k];
  return out;
}

function samePadding(n, k, s) {
  const total = Math.max((Math.ceil(n / s) - 1) * s + k - n, 0);
  return [Math.floor(total / 2), Math.ceil(total / 2)];
}

/** `integers`: what `quantize` gives, for a file in 8 bits. */
export async function tflite(folded, flatbuffers, integers) {
  const weights = folded.ops.reduce((n, o) => n + (o.w ? o.w.data.byteLength + o.b.data.byteLength : 0), 0);
  const f = new flatbuffers.Builder(weights + (1 << 16));
  const tensors = [],
    buffers = [null],
    operators = [],
    index = new Map();

  const tensor = (name, shape, type = FLOAT32, data = null, quantization = null) => {
    tensors.push({ name, shape, type, buffer: data ? buffers.push(data) - 1 : 0, quantization });
    return tensors.length - 1;
  };
  /** A value that is computed: with the scale of `source`, whose numbers it has. */
  const activation = (name, shape, source = name) => {
    if (!integers) return tensor(name, shape);
    const { scale, zero } = integers.activations.get(source);
    return tensor(name, shape, INT8, null, { scales: [scale], zeros: [zero - 128], axis: 0 });
  };
  /** A parameter, its output channels along `axis`, its numbers brought into order by `layout`. */
  const parameter = (o, key, shape, axis = 0, layout = (data) => data) => {
    const q = integers?.weights.get(o),
      name = `${o.name}.${key}`;
    if (!q) return tensor(name, shape, FLOAT32, bytes(layout(o[key].data)));
    const scales = [...(key === "w" ? q.scales : q.biasScales)],
      type = key === "w" ? INT8 : INT32;
    return tensor(name, shape, type, bytes(layout(q[key].data)), { scales, zeros: scales.map(() => 0), axis });
  };
  const emit = (op, inputs, output, fields = []) => operators.push({ op, inputs, output, fields });
  const [, c, h, w] = folded.input,
    input = tensor("input", [1, h, w, c]);
  index.set("x", integers ? activation("x", [1, h, w, c]) : input);
  if (integers) emit("quantize", [input], index.get("x"));
  const shapes = new Map([["x", [c, h, w]]]);

  /** The input of a windowed operator and its padding word, with a PAD in front where needed. */
  function windowed(o) {
    const [ci, n] = shapes.get(o.x[0]),
      { p, end } = o;
    if (!p && !end) return [index.get(o.x[0]), VALID];
    const same = samePadding(n, o.k, o.s);
    if (same[0] === p && same[1] === end) return [index.get(o.x[0]), SAME];
    const pads = tensor(`${o.y}.pads`, [4, 2], INT32, bytes(Int32Array.of(0, 0, p, end, p, end, 0, 0)));
    // Zero is neutral: max pools here follow a ReLU.
    const padded = activation(`${o.y}.padded`, [1, n + p + end, n + p + end, ci], o.x[0]);
    emit("pad", [index.get(o.x[0]), pads], padded);
    return [padded, VALID];
  }

  for (const o of folded.ops) {
    const act = ACTIVATION[o.act] ?? 0;
    const inputs = o.x.map((v) => index.get(v));
    const depthwise = o.g > 1;
    let fields = [],
      extra = [];
    if (o.op === "conv") {
      const [x, padding] = windowed(o),
        [oc, ic, k] = depthwise ? [1, o.w.shape[0], o.k] : o.w.shape;
      inputs[0] = x;
      extra = [parameter(o, "w", [oc, k, k, ic], depthwise ? 3 : 0, (w) => channelsLast(w, [oc, ic, k * k]))];
      fields = [
        ["i8", padding],
        ["i32", o.s],
        ["i32", o.s],
        ...(depthwise ? [["i32", 1]] : []), // outputs for each channel
        ["i8", act],
      ];
    } else if (o.op === "maxpool" || o.op === "avgpool") {
      const [x, padding] = windowed(o);
      inputs[0] = x;
      fields = [
        ["i8", padding],
        ["i32", o.s],
        ["i32", o.s],
        ["i32", o.k],
        ["i32", o.k],
      ];
    } else if (o.op === "fc") {
      const [c, h, w] = o.chw ?? [o.w.shape[1], 1, 1];
      extra = [parameter(o, "w", o.w.shape, 0, (data) => channelsLast(data, [o.w.shape[0], c, h * w]))];
      fields = [["i8", act]];
    } else if (o.op === "add") {
      fields = [["i8", act]];
    } else if (o.op === "concat") {
      fields = [["i32", 3]]; // the axis
    } else if (o.op === "scale") {
      // TensorFlow's converter leaves a multiplication and an addition.
      const scaled = tensor(`${o.y}.scaled`, nhwc(o.shape));
      emit("mul", [inputs[0], tensor(`${o.name}.w`, o.w.shape, FLOAT32, bytes(o.w.data))], scaled, [["i8", 0]]);
      inputs[0] = scaled;
      fields = [["i8", act]];
    } else if (o.op === "gap") {
      extra = [tensor(`${o.y}.axes`, [2], INT32, bytes(Int32Array.of(1, 2)))];
      fields = [["i8", 1]]; // keep_dims
    } else if (o.op === "flatten") {
      extra = [tensor(`${o.y}.shape`, [2], INT32, bytes(Int32Array.of(1, o.shape[0])))];
    } else throw new Error(`tflite: no operator for ${o.op}`);
    if (o.b) extra.push(parameter(o, "b", o.b.shape));
    const y = activation(o.y, nhwc(o.shape));
    index.set(o.y, y);
    shapes.set(o.y, o.shape);
    emit(depthwise ? "depthwise" : ({ scale: "add" }[o.op] ?? o.op), [...inputs, ...extra], y, fields);
  }

  let result = index.get(folded.output);
  if (integers) {
    const floats = tensor("output", nhwc(shapes.get(folded.output)));
    emit("dequantize", [result], floats);
    result = floats;
  }

  // ---- flatbuffers are written children first
  const table = (...fields) => {
    // fields by number: [kind, value], or null for the default
    f.startObject(fields.length);
    fields.forEach((v, i) => {
      if (!v) return;
      const [kind, x] = v;
      if (kind === "i8") f.addFieldInt8(i, x, 0);
      else if (kind === "i32") f.addFieldInt32(i, x, 0);
      else f.addFieldOffset(i, x, 0);
    });
    return f.endObject();
  };
  const offsets = (list) => {
    f.startVector(4, list.length, 4);
    for (const o of [...list].reverse()) f.addOffset(o);
    return f.endVector();
  };
  const ints = (list) => {
    f.startVector(4, list.length, 4);
    for (const v of [...list].reverse()) f.addInt32(v);
    return f.endVector();
  };
  const blob = (b) => {
    // 16-byte aligned, as kernels expect their constants
    f.startVector(1, b.length, 16);
    f.space -= b.length;
    f.bb.bytes().set(b, f.space);
    return f.endVector();
  };

  const quantized = ({ scales, zeros, axis }) => {
    f.startVector(4, scales.length, 4);
    for (const v of [...scales].reverse()) f.addFloat32(v);
    const scale = f.endVector();
    f.startVector(8, zeros.length, 8);
    for (const v of [...zeros].reverse()) f.addInt64(BigInt(v));
    const zero = f.endVector();
    return table(null, null, ["off", scale], ["off", zero], null, null, ["i32", axis]);
  };

  const used = [...new Set(operators.map((o) => o.op))];
  const bufferList = offsets(
    buffers.map((b) => {
      const d = b && blob(b);
      return table(d ? ["off", d] : null);
    }),
  );
  const tensorList = offsets(
    tensors.map((t) => {
      const shape = ints(t.shape),
        name = f.createString(t.name);
      const quantization = t.quantization && quantized(t.quantization);
      return table(
        ["off", shape],
        ["i8", t.type],
        ["i32", t.buffer],
        ["off", name],
        quantization && ["off", quantization],
      );
    }),
  );
  const operatorList = offsets(
    operators.map((o) => {
      const inputs = ints(o.inputs),
        outputs = ints([o.output]),
        options = OPTIONS[o.op] && table(...o.fields);
      return table(
        ["i32", used.indexOf(o.op)],
        ["off", inputs],
        ["off", outputs],
        ...(options
          ? [
              ["i8", OPTIONS[o.op]],
              ["off", options],
            ]
          : []),
      );
    }),
  );
  const inputs = ints([0]),
    outputs = ints([result]),
    name = f.createString("main");
  const subgraph = table(["off", tensorList], ["off", inputs], ["off", outputs], ["off", operatorList], ["off", name]);
  const subgraphs = offsets([subgraph]);
  const codes = offsets(used.map((op) => table(["i8", OPCODE[op]], null, ["i32", 1], ["i32", OPCODE[op]])));
  const description = f.createString("convoke-bench");
  f.finish(table(["i32", 3], ["off", codes], ["off", subgraphs], ["off", description], ["off", bufferList]), "TFL3");
  return [Buffer.from(f.asUint8Array())];
}
