// The data every engine gets, and the layout changes of engines that want NHWC.
export const count = (shape) => shape.reduce((a, b) => a * b, 1);

/** The fixed input, NCHW; the referee in models/reference.mjs uses the same formula. */
export const input = (shape) => Float32Array.from({ length: count(shape) }, (_, i) => Math.sin(i * 0.37));

/** A fixed training batch: uniform noise around a per-class wave, so that there is something to learn. */
export function batch(job) {
  const [, ...chw] = job.input,
    each = count(chw),
    n = job.batch;
  let seed = 7;
  const uniform = () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 2 ** 32;
  };
  const labels = Uint8Array.from({ length: n }, (_, i) => i % job.classes);
  const images = Float32Array.from(
    { length: n * each },
    (_, i) => 0.5 * Math.sin((i % each) * 0.05 * (1 + labels[Math.floor(i / each)])) + uniform() - 0.5,
  );
  return { images, labels, shape: [n, ...chw] };
}

export const oneHot = (labels, classes) =>
  Float32Array.from({ length: labels.length * classes }, (_, i) =>
    labels[Math.floor(i / classes)] === i % classes ? 1 : 0,
  );

/** [n, c, p] -> [n, p, c]: NCHW to NHWC, and OIHW to OHWI. */
export function channelsLast(src, n, c, p) {
  const out = new Float32Array(src.length);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < c; j++) for (let k = 0; k < p; k++) out[(i * p + k) * c + j] = src[(i * c + j) * p + k];
  return out;
}

/** [rows, cols] -> [cols, rows] */
export function transpose(src, rows, cols) {
  const out = new Float32Array(src.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) out[j * rows + i] = src[i * cols + j];
  return out;
}

export const bytes = async (url) => {
  const r = await fetch(url);
  if (!r.ok) throw new Error(`${url}: ${r.status}`);
  return new Uint8Array(await r.arrayBuffer());
};

/** The numbers of an operation. */
export const TENSORS = ["w", "b", "mean", "variance"];

/** The graph of operations with its weights as Float32Array views (models/make.mjs); with batch norm for training. */
export async function operations(job) {
  const file = `/models/${job.model}.${job.kind === "train" ? "training" : "folded"}`,
    [json, bin] = await Promise.all([bytes(`${file}.json`), bytes(`${file}.bin`)]);
  const graph = JSON.parse(new TextDecoder().decode(json));
  for (const o of graph.ops)
    for (const k of TENSORS) if (o[k]) o[k].data = new Float32Array(bin.buffer, o[k].at * 4, count(o[k].shape));
  return graph;
}
