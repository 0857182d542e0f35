// 8-bit numbers for a folded graph, as quantizers of both formats give them: weights symmetric, a scale for each output
// channel; activations with one scale and a zero point for each tensor, from the least and the largest value that it has on
// the input that is measured. Real value = scale * (integer - zero).

/** Operations whose output has the numbers of their input: both formats ask for the same scale there. */
const MOVES = ["maxpool", "flatten"];

/** `activations`: value -> { scale, zero } for unsigned bytes. `weights`: operation -> { w, scales, b, biasScales }. */
export function quantize(folded, ranges) {
  const activations = new Map([["x", affine(ranges.get("x"))]]),
    weights = new Map();
  for (const o of folded.ops) {
    activations.set(o.y, MOVES.includes(o.op) ? activations.get(o.x[0]) : affine(ranges.get(o.y)));
    if (o.w) weights.set(o, integers(o, activations.get(o.x[0]).scale));
  }
  return { activations, weights };
}

/** The range with zero in it, in 255 steps, of which zero is one. */
function affine([least, most]) {
  const low = Math.min(least, 0),
    scale = Math.fround((Math.max(most, 0) - low) / 255) || 1;
  return { scale, zero: Math.round(-low / scale) };
}

function integers({ w, b }, inputScale) {
  const channels = w.shape[0],
    per = w.data.length / channels,
    q = new Int8Array(w.data.length),
    scales = new Float32Array(channels);
  for (let c = 0; c < channels; c++) {
    const row = w.data.subarray(c * per, (c + 1) * per);
    const most = row.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
    scales[c] = most / 127 || 1;
    for (let i = 0; i < per; i++) q[c * per + i] = Math.round(row[i] / scales[c]);
  }
  const biasScales = scales.map((s) => s * inputScale);
  return {
    w: { shape: w.shape, data: q },
    scales,
    b: { shape: b.shape, data: Int32Array.from(b.data, (v, i) => Math.round(v / biasScales[i])) },
    biasScales,
  };
}
