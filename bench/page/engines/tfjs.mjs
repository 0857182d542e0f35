// TensorFlow.js. Inference: the converted graph's fused operators, called one by one through the public API, intermediates
// freed at their last use. Training: a tf.layers model with the same weights, compiled with momentum SGD, trainOnBatch.
import { batch, channelsLast, input, oneHot, operations, transpose } from "../data.mjs";

const script = (src) =>
  new Promise((res, rej) => {
    const s = document.createElement("script");
    s.src = src;
    s.onload = res;
    s.onerror = () => rej(new Error(`cannot load ${src}`));
    document.head.appendChild(s);
  });

async function load({ backend, threads = 1 }, training) {
  if (training) await script("/tfjs/tfjs/dist/tf.min.js");
  else {
    await script("/tfjs/tfjs-core/dist/tf-core.min.js");
    if (backend === "cpu") await script("/tfjs/tfjs-backend-cpu/dist/tf-backend-cpu.min.js");
  }
  if (backend === "wasm") {
    await script("/tfjs/tfjs-backend-wasm/dist/tf-backend-wasm.min.js");
    tf.wasm.setWasmPaths(`${location.origin}/tfjs/tfjs-backend-wasm/dist/`);
    if (threads === 1) tf.env().set("WASM_HAS_MULTITHREAD_SUPPORT", false);
    else tf.wasm.setThreadsCount(threads);
  }
  if (backend === "webgpu") await script("/tfjs/tfjs-backend-webgpu/dist/tf-backend-webgpu.min.js");
  const ok = await tf.setBackend(backend);
  await tf.ready();
  if (!ok || tf.getBackend() !== backend) throw new Error(`TensorFlow.js runs '${tf.getBackend()}', not '${backend}'`);
  return { backend, threads: backend === "wasm" ? tf.wasm.getThreadsCount() : 1 };
}

/** What a pooling reaches over the edges, as TensorFlow.js takes it. */
const padding = ({ p, end }) =>
  end > p
    ? [
        [0, 0],
        [p, end],
        [p, end],
        [0, 0],
      ]
    : p;

/** OIHW -> HWIO, depthwise to HWC1; [out, in] -> [in, out] with the rows behind a flatten in HWC order. */
function kernel(o) {
  const { shape, data } = o.w;
  if (o.op === "scale") return tf.tensor(data, shape);
  if (o.g > 1) return tf.tensor(channelsLast(data, 1, shape[0], o.k * o.k), [o.k, o.k, shape[0], 1]);
  if (o.op === "conv") {
    const [oc, ic, kh, kw] = shape,
      hwio = channelsLast(channelsLast(data, oc, ic, kh * kw), 1, oc, kh * kw * ic);
    return tf.tensor(hwio, [kh, kw, ic, oc]);
  }
  const rows = o.chw ? channelsLast(data, shape[0], o.chw[0], o.chw[1] * o.chw[2]) : data;
  return tf.tensor(transpose(rows, ...shape), [shape[1], shape[0]]);
}

export async function open(job) {
  const info = await load(job.options, job.kind === "train");
  const graph = await operations(job);
  return { info, ...(job.kind === "train" ? training(job, graph) : inference(job, graph)) };
}

function inference(job, graph) {
  const weights = graph.ops.map((o) => o.w && [kernel(o), tf.tensor(o.b.data, o.b.shape)]);
  const constant = (make) => graph.ops.map((o) => (o.op === "scale" ? make(o.b.shape) : null));
  const zeros = constant(tf.zeros),
    ones = constant(tf.ones); // a scale is its batch norm with mean 0 and variance 1
  const last = {};
  graph.ops.forEach((o, i) => {
    for (const v of o.x) last[v] = i;
  });
  const [, c, h, w] = job.input,
    x = channelsLast(input(job.input), 1, c, h * w);

  function forward() {
    const env = { x: tf.tensor4d(x, [1, h, w, c]) };
    graph.ops.forEach((o, i) => {
      const a = env[o.x[0]],
        [filter, bias] = weights[i] || [],
        activation = o.act ?? "linear";
      let y;
      if (o.op === "conv") {
        const convolve = o.g > 1 ? tf.fused.depthwiseConv2d : tf.fused.conv2d;
        y = convolve({ x: a, filter, strides: o.s, pad: o.p, bias, activation });
      } else if (o.op === "fc") y = tf.fused.matMul({ a, b: filter, bias, activation });
      else if (o.op === "maxpool") y = tf.maxPool(a, o.k, o.s, padding(o));
      else if (o.op === "avgpool") y = tf.avgPool(a, o.k, o.s, o.p);
      else if (o.op === "concat")
        y = tf.concat(
          o.x.map((v) => env[v]),
          3,
        );
      else if (o.op === "scale")
        y = tf.tidy(() => {
          const s = tf.batchNorm(a, zeros[i], ones[i], bias, filter, 0);
          return o.act ? tf[o.act](s) : s;
        });
      else if (o.op === "gap") y = tf.mean(a, [1, 2], true);
      else if (o.op === "add")
        y = tf.tidy(() => {
          const s = tf.add(a, env[o.x[1]]);
          return o.act ? tf[o.act](s) : s;
        });
      else if (o.op === "flatten") y = tf.reshape(a, [1, -1]);
      else throw new Error(`tfjs: no operator for ${o.op}`);
      env[o.y] = y;
      for (const v of o.x)
        if (last[v] === i && env[v]) {
          env[v].dispose();
          delete env[v];
        }
    });
    return env[graph.output];
  }
  return {
    async run() {
      const y = forward(),
        d = await y.data();
      y.dispose();
      return d;
    },
  };
}

/** The layer of an operation, its weights and the activation behind it. */
function layerOf(o, output) {
  const L = tf.layers,
    strides = o.s,
    activation = o.act ?? "linear";
  switch (o.op) {
    case "conv":
      return L.conv2d({ filters: o.shape[0], kernelSize: o.k, strides, padding: "valid", activation, useBias: !!o.b });
    case "bn":
      return L.batchNormalization({ epsilon: o.epsilon });
    case "maxpool":
      return L.maxPooling2d({ poolSize: o.k, strides });
    case "gap":
      return L.globalAveragePooling2d({ dataFormat: "channelsLast" });
    case "add":
      return L.add();
    case "flatten":
      return L.flatten();
    case "fc":
      return L.dense({ units: o.shape[0], activation: output ? "softmax" : activation });
    default:
      throw new Error(`tfjs: no layer for ${o.op}`);
  }
}

function modelOf(graph, [, c, h, w]) {
  const env = { x: tf.input({ shape: [h, w, c] }) };
  for (const o of graph.ops) {
    let x = o.x.map((v) => env[v]);
    if (o.op === "flatten" && o.chw[1] === 1) {
      env[o.y] = x[0]; // global pooling leaves vectors
      continue;
    }
    const layer = layerOf(o, o.y === graph.output);
    if (o.p) {
      const border = [o.p, o.end];
      if (o.op === "conv" && o.s === 1 && o.p === o.end) layer.padding = "same";
      else x = [tf.layers.zeroPadding2d({ padding: [border, border] }).apply(x[0])]; // 'same' would be other numbers
    }
    let y = layer.apply(x.length > 1 ? x : x[0]);
    if (o.op === "bn") layer.setWeights([o.w, o.b, o.mean, o.variance].map((t) => tf.tensor(t.data, t.shape)));
    else if (o.w) layer.setWeights([kernel(o), ...(o.b ? [tf.tensor(o.b.data, o.b.shape)] : [])]);
    if (o.act && (o.op === "bn" || o.op === "add")) y = tf.layers.activation({ activation: o.act }).apply(y);
    env[o.y] = y;
  }
  return tf.model({ inputs: env.x, outputs: env[graph.output] });
}

function training(job, graph) {
  const [, c, h, w] = job.input,
    model = modelOf(graph, job.input);
  model.compile({ optimizer: tf.train.momentum(job.learningRate, job.momentum), loss: "categoricalCrossentropy" });
  const { images, labels } = batch(job),
    n = job.batch;
  const x = tf.tensor4d(channelsLast(images, n, c, h * w), [n, h, w, c]),
    y = tf.tensor2d(oneHot(labels, job.classes), [n, job.classes]);
  return {
    async step(k) {
      const losses = [];
      for (let i = 0; i < k; i++) losses.push(await model.trainOnBatch(x, y));
      await model.trainableWeights[0].read().data(); // on a GPU the update may still be under way
      return losses;
    },
  };
}
