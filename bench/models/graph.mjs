// A small builder for the benchmark's networks: a list of operations over named tensors (NCHW, OIHW) and seeded weights
// under PyTorch's key names. Every engine's model file is written from this one description, so all run the same numbers.

/** Seeded normal numbers (mulberry32 and Box-Muller). */
export function gaussian(seed) {
  let s = seed >>> 0;
  const uniform = () => {
    s = (s + 0x6d2b79f5) >>> 0;
    let t = Math.imul(s ^ (s >>> 15), s | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

const count = (shape) => shape.reduce((a, b) => a * b, 1);

export class Builder {
  constructor(name, input, seed = 1) {
    this.name = name;
    this.input = input; // [1, C, H, W]
    this.normal = gaussian(seed);
    this.ops = [];
    this.params = new Map(); // name -> { shape, data }
    this.shapes = { x: input.slice(1) }; // without the batch
    this.macs = 0;
  }

  #param(name, shape, value) {
    this.params.set(name, { shape, data: Float32Array.from({ length: count(shape) }, value) });
  }

  #op(op, x, shape, attributes) {
    const y = `${op}_${this.ops.length}`;
    this.shapes[y] = shape;
    this.ops.push({ op, x: [].concat(x), y, shape, ...attributes });
    return y;
  }

  /** Square kernels; `g` is 1 or, for a depthwise convolution, the number of channels. */
  conv(name, x, cout, k, { s = 1, p = 0, g = 1, bias = true } = {}) {
    const [cin, h, w] = this.shapes[x];
    const out = (n) => Math.floor((n + 2 * p - k) / s) + 1;
    const shape = [cout, out(h), out(w)];
    const fan = (cin / g) * k * k;
    const std = Math.sqrt(2 / fan); // He initialization
    this.#param(`${name}.weight`, [cout, cin / g, k, k], () => std * this.normal());
    if (bias) this.#param(`${name}.bias`, [cout], () => 0.01 * this.normal());
    this.macs += count(shape) * fan;
    return this.#op("conv", x, shape, { name, k, s, p, g, bias });
  }

  bn(name, x, { gain = 1, epsilon = 1e-5 } = {}) {
    const [c] = this.shapes[x];
    this.#param(`${name}.weight`, [c], () => gain * (1 + 0.1 * this.normal()));
    this.#param(`${name}.bias`, [c], () => 0.1 * this.normal());
    this.#param(`${name}.running_mean`, [c], () => 0.1 * this.normal());
    this.#param(`${name}.running_var`, [c], () => 1 + 0.2 * Math.abs(this.normal()));
    return this.#op("bn", x, this.shapes[x], { name, epsilon });
  }

  relu(x) {
    return this.#op("relu", x, this.shapes[x]);
  }

  relu6(x) {
    return this.#op("relu6", x, this.shapes[x]);
  }

  /** With `ceil`, the last window may reach over the edge. */
  maxpool(x, k, s, p = 0, ceil = false) {
    const [c, h, w] = this.shapes[x];
    const out = (n) => Math[ceil ? "ceil" : "floor"]((n + 2 * p - k) / s) + 1;
    return this.#op("maxpool", x, [c, out(h), out(w)], { k, s, p, ceil });
  }

  avgpool(x, k, s) {
    const [c, h, w] = this.shapes[x];
    const out = (n) => Math.floor((n - k) / s) + 1;
    return this.#op("avgpool", x, [c, out(h), out(w)], { k, s, p: 0 });
  }

  gap(x) {
    return this.#op("gap", x, [this.shapes[x][0], 1, 1]);
  }
  add(a, b) {
    return this.#op("add", [a, b], this.shapes[a]);
  }
  concat(parts) {
    const channels = parts.reduce((n, x) => n + this.shapes[x][0], 0);
    return this.#op("concat", parts, [channels, ...this.shapes[parts[0]].slice(1)]);
  }
  flatten(x) {
    return this.#op("flatten", x, [count(this.shapes[x])]);
  }

  fc(name, x, cout, gain = 2) {
    const [cin] = this.shapes[x];
    const std = Math.sqrt(gain / cin);
    this.#param(`${name}.weight`, [cout, cin], () => std * this.normal());
    this.#param(`${name}.bias`, [cout], () => 0.01 * this.normal());
    this.macs += cin * cout;
    return this.#op("fc", x, [cout], { name });
  }

  /** `parameters`: the published number of trainable ones, running statistics left out. */
  finish(output, parameters) {
    const { name, input, ops, params, macs } = this;
    let n = 0;
    for (const [key, p] of params) if (!key.includes(".running_")) n += p.data.length;
    if (n !== parameters) throw new Error(`${name}: ${n} parameters, expected ${parameters}`);
    return { name, input, output, classes: this.shapes[output][0], ops, params, macs, parameters };
  }
}

/**
 * The graph as a converter leaves it: batch norm folded into the convolution before it, bias and ReLU fused.
 * Operations then carry `w` and `b` ({shape, data}, still OIHW and [out, in]) and `act`, "relu" or "relu6".
 * A batch norm behind anything else becomes a `scale`: w * x + b, per channel.
 * Windows carry `end`, the padding that they really reach below and at the right (`p` is above and at the left).
 * A layer fed by a flatten carries `chw`, the shape before it: engines in NHWC must permute its columns.
 * For training, batch norms stay what they are, with their statistics in `mean` and `variance`, and `b` may be missing.
 */
export function fold(graph, { training = false } = {}) {
  const readers = new Map();
  for (const o of graph.ops) for (const v of o.x) readers.set(v, [...(readers.get(v) || []), o]);
  const only = (y, ...kinds) => {
    const r = readers.get(y) || [];
    return r.length === 1 && kinds.includes(r[0].op) ? r[0] : null;
  };
  const affine = (bn) => {
    const [g, beta, mean, variance] = ["weight", "bias", "running_mean", "running_var"].map(
      (k) => get(`${bn.name}.${k}`).data,
    );
    const scale = g.map((v, i) => v / Math.sqrt(variance[i] + bn.epsilon));
    return { scale, shift: beta.map((v, i) => v - mean[i] * scale[i]) };
  };
  const get = (name) => graph.params.get(name);
  const shapes = new Map([["x", graph.input.slice(1)], ...graph.ops.map((o) => [o.y, o.shape])]);
  const done = new Set(),
    ops = [],
    rename = new Map();

  for (const o of graph.ops) {
    if (done.has(o)) continue;
    const n = { ...o, x: o.x.map((v) => rename.get(v) ?? v) };
    let last = o;
    if (o.op === "conv" || o.op === "fc") {
      n.w = get(`${o.name}.weight`);
      n.b = get(`${o.name}.bias`);
      if (!n.b && !training) n.b = { shape: [o.shape[0]], data: new Float32Array(o.shape[0]) };
      const bn = training ? null : only(last.y, "bn");
      if (bn) {
        const { scale, shift } = affine(bn),
          per = n.w.data.length / scale.length;
        n.b = { shape: n.b.shape, data: n.b.data.map((v, i) => v * scale[i] + shift[i]) };
        n.w = { shape: n.w.shape, data: n.w.data.map((v, i) => v * scale[Math.floor(i / per)]) };
        last = bn;
        done.add(bn);
      }
    }
    if (o.op === "bn" && training) {
      const [w, b, mean, variance] = ["weight", "bias", "running_mean", "running_var"].map((k) =>
        get(`${o.name}.${k}`),
      );
      Object.assign(n, { w, b, mean, variance });
    } else if (o.op === "bn") {
      const { scale, shift } = affine(o);
      Object.assign(n, {
        op: "scale",
        w: { shape: [scale.length], data: scale },
        b: { shape: [shift.length], data: shift },
      });
    }
    if (o.k) n.end = Math.max((o.shape[1] - 1) * o.s + o.k - shapes.get(o.x[0])[1] - o.p, 0); // all are square
    if (o.op === "fc") {
      const before = ops.find((q) => q.y === n.x[0]);
      if (before?.op === "flatten") n.chw = before.chw;
    }
    if (o.op === "flatten") n.chw = shapes.get(o.x[0]);
    if (["conv", "fc", "add", "bn"].includes(o.op)) {
      const act = only(last.y, "relu", "relu6");
      if (act) {
        n.act = act.op;
        last = act;
        done.add(act);
      }
    }
    if (last !== o) rename.set(last.y, o.y);
    ops.push(n);
  }
  return { name: graph.name, input: graph.input, output: rename.get(graph.output) ?? graph.output, ops };
}
