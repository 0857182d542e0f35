// The referee: the network by its formulas, in float64, in plain loops. Slow and independent of every engine measured.

/** The fixed input of every engine: any numbers do, these are easy to make again elsewhere. */
export const input = (n) => Float32Array.from({ length: n }, (_, i) => Math.sin(i * 0.37));

/** The logits, and the least and the largest number of every value. */
export function reference(folded) {
  const n = folded.input.reduce((a, b) => a * b);
  const env = { x: Float64Array.from(input(n)) },
    shapes = { x: folded.input.slice(1) };
  for (const o of folded.ops) {
    const a = env[o.x[0]],
      [ci, h, w] = shapes[o.x[0]],
      size = o.shape.reduce((p, q) => p * q);
    let y = new Float64Array(size);
    if (o.op === "conv") conv(y, a, [ci, h, w], o);
    else if (o.op === "maxpool") maxpool(y, a, [ci, h, w], o);
    else if (o.op === "avgpool") avgpool(y, a, [ci, h, w], o);
    else if (o.op === "scale") {
      const { w: W, b: B } = o;
      y = a.map((v, i) => W.data[Math.floor(i / (h * w))] * v + B.data[Math.floor(i / (h * w))]);
    } else if (o.op === "concat") {
      let at = 0;
      for (const v of o.x) {
        y.set(env[v], at);
        at += env[v].length;
      }
    } else if (o.op === "gap")
      for (let c = 0; c < ci; c++) y[c] = a.subarray(c * h * w, (c + 1) * h * w).reduce((p, q) => p + q) / (h * w);
    else if (o.op === "add") y = a.map((v, i) => v + env[o.x[1]][i]);
    else if (o.op === "flatten") y = a;
    else if (o.op === "fc") {
      const k = a.length,
        W = o.w.data;
      for (let j = 0; j < size; j++) {
        let s = o.b.data[j];
        for (let i = 0; i < k; i++) s += W[j * k + i] * a[i];
        y[j] = s;
      }
    } else throw new Error(`reference: no rule for ${o.op}`);
    const most = { relu: Infinity, relu6: 6 }[o.act];
    env[o.y] = most ? y.map((v) => Math.min(Math.max(v, 0), most)) : y;
    shapes[o.y] = o.shape;
  }
  const range = (a) => a.reduce(([least, most], v) => [Math.min(least, v), Math.max(most, v)], [Infinity, -Infinity]);
  const ranges = new Map(Object.entries(env).map(([name, a]) => [name, range(a)]));
  return { logits: Array.from(env[folded.output]), ranges };
}

function conv(y, a, [, h, w], { k, s, p, g, w: W, b, shape: [co, ho, wo] }) {
  const ci = W.shape[1]; // of one group
  for (let c = 0; c < co; c++) {
    const out = y.subarray(c * ho * wo, (c + 1) * ho * wo).fill(b.data[c]),
      first = Math.floor(c / (co / g)) * ci;
    for (let i = 0; i < ci; i++)
      for (let u = 0; u < k; u++)
        for (let v = 0; v < k; v++) {
          const weight = W.data[((c * ci + i) * k + u) * k + v];
          for (let r = 0; r < ho; r++) {
            const row = r * s + u - p;
            if (row < 0 || row >= h) continue;
            const base = ((first + i) * h + row) * w + v - p;
            for (let q = 0; q < wo; q++) {
              const col = q * s + v - p;
              if (col >= 0 && col < w) out[r * wo + q] += weight * a[base + q * s];
            }
          }
        }
  }
}

function maxpool(y, a, [ci, h, w], { k, s, p, shape: [, ho, wo] }) {
  for (let c = 0; c < ci; c++)
    for (let r = 0; r < ho; r++)
      for (let q = 0; q < wo; q++) {
        let m = -Infinity;
        for (let u = 0; u < k; u++)
          for (let v = 0; v < k; v++) {
            const row = r * s + u - p,
              col = q * s + v - p;
            if (row >= 0 && row < h && col >= 0 && col < w) m = Math.max(m, a[(c * h + row) * w + col]);
          }
        y[(c * ho + r) * wo + q] = m;
      }
}

function avgpool(y, a, [ci, h, w], { k, s, shape: [, ho, wo] }) {
  for (let c = 0; c < ci; c++)
    for (let r = 0; r < ho; r++)
      for (let q = 0; q < wo; q++) {
        let sum = 0;
        for (let u = 0; u < k; u++) for (let v = 0; v < k; v++) sum += a[(c * h + r * s + u) * w + q * s + v];
        y[(c * ho + r) * wo + q] = sum / (k * k);
      }
}
