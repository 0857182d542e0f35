// jax-js: one function of (weights, input) in NCHW. `eager` runs it op by op, else the whole of it is one jit().
// Its arrays are reference-counted: an operation consumes its operands unless they are passed as `.ref`.
import { batch, input, oneHot, operations, transpose } from "../data.mjs";

export async function open(job) {
  const jax = await import("/jax/jax/dist/index.js"),
    { backend, eager, cores } = job.options;
  await jax.init(backend);
  jax.defaultDevice(backend);
  const graph = await operations(job),
    info = { backend: jax.defaultDevice(), workers: cores, mode: eager ? "eager" : "jit" };
  const jit = eager ? (f) => f : jax.jit;
  return { info, ...(job.kind === "train" ? training : inference)(job, graph, jax, jit) };
}

function weightsOf(graph, np) {
  const perChannel = (t) => np.array(t.data.slice(), { shape: [1, t.shape[0], 1, 1] });
  return graph.ops
    .filter((o) => o.w)
    .flatMap((o) => {
      if (o.op === "bn") return [perChannel(o.w), perChannel(o.b)];
      if (o.op === "conv") return [np.array(o.w.data.slice(), { shape: o.w.shape }), ...(o.b ? [perChannel(o.b)] : [])];
      return [
        np.array(transpose(o.w.data, ...o.w.shape), { shape: [o.w.shape[1], o.w.shape[0]] }),
        np.array(o.b.data.slice(), { shape: [1, o.b.shape[0]] }),
      ];
    });
}

/** The running means and variances of the batch norms, in turn. */
const statisticsOf = (graph, np) =>
  graph.ops
    .filter((o) => o.op === "bn")
    .flatMap((o) => [o.mean, o.variance].map((t) => np.array(t.data.slice(), { shape: [1, t.shape[0], 1, 1] })));

/** Batch norms append the batch's means and variances to `seen`. */
const forwardOf =
  (graph, { numpy: np, lax, nn }, n) =>
  (weights, x, seen) => {
    const last = {},
      env = { x };
    graph.ops.forEach((o, i) => {
      for (const v of o.x) last[v] = i;
    });
    let next = 0;
    graph.ops.forEach((o, i) => {
      const get = (v) => (last[v] === i ? env[v] : env[v].ref);
      let a = get(o.x[0]),
        y;
      if (o.op === "conv" && o.g === 1) {
        const border = [o.p, o.p];
        y = lax.convGeneralDilated(a, weights[next++], [o.s, o.s], [border, border]);
        if (o.b) y = y.add(weights[next++]);
      } else if (o.op === "bn") {
        const over = [[0, 2, 3], { keepdims: true }];
        const mean = np.mean(a.ref, ...over),
          d = a.sub(mean.ref),
          variance = np.mean(d.ref.mul(d.ref), ...over);
        seen.push(mean, variance.ref);
        const gain = weights[next++].mul(np.reciprocal(np.sqrt(variance.add(o.epsilon))));
        y = d.mul(gain).add(weights[next++]);
      } else if (o.op === "fc") y = np.matmul(a, weights[next++]).add(weights[next++]);
      else if (o.op === "maxpool") {
        if (o.p)
          a = np.pad(a, [
            [0, 0],
            [0, 0],
            [o.p, o.p],
            [o.p, o.p],
          ]); // only ever after a ReLU: zero is neutral
        y = lax.reduceWindow(a, (v) => np.max(v), [o.k, o.k], [o.s, o.s]);
      } else if (o.op === "gap") y = np.mean(a, [2, 3], { keepdims: true });
      else if (o.op === "add") y = a.add(get(o.x[1]));
      else if (o.op === "flatten") y = np.reshape(a, [n, o.shape[0]]);
      else throw new Error(`jax: no operator for ${o.op}`);
      env[o.y] = o.act ? nn[o.act](y) : y;
    });
    return env[graph.output];
  };

function inference(job, graph, jax, jit) {
  const np = jax.numpy,
    weights = weightsOf(graph, np),
    forward = jit(forwardOf(graph, jax, 1)),
    x = input(job.input);
  return {
    run: () =>
      forward(
        weights.map((w) => w.ref),
        np.array(x.slice(), { shape: job.input }),
      ).data(),
  };
}

function training(job, graph, jax, jit) {
  const { numpy: np, nn, valueAndGrad } = jax,
    forward = forwardOf(graph, jax, job.batch);
  const loss = (weights, x, y) => {
    const seen = [];
    return [np.mean(np.sum(nn.logSoftmax(forward(weights, x, seen)).mul(y), 1)).mul(-1), seen];
  };
  const gradients = valueAndGrad(loss, { hasAux: true });
  const update = jit((weights, velocity, statistics, x, y) => {
    const [[value, seen], g] = gradients(
      weights.map((w) => w.ref),
      x,
      y,
    );
    const v = velocity.map((a, i) => a.mul(job.momentum).add(g[i]));
    return [
      value,
      weights.map((w, i) => w.sub(v[i].ref.mul(job.learningRate))),
      v,
      statistics.map((a, i) => a.mul(0.9).add(seen[i].mul(0.1))),
    ];
  });
  const { images, labels, shape } = batch(job);
  const x = np.array(images, { shape }),
    y = np.array(oneHot(labels, job.classes), { shape: [job.batch, job.classes] });
  let weights = weightsOf(graph, np),
    velocity = weights.map((w) => np.zeros(w.shape)),
    statistics = statisticsOf(graph, np);
  return {
    async step(k) {
      const losses = [];
      for (let i = 0; i < k; i++) {
        let value;
        [value, weights, velocity, statistics] = update(weights, velocity, statistics, x.ref, y.ref);
        losses.push((await value.data())[0]);
      }
      await weights[0].ref.data(); // the last update must be finished, not only asked for
      return losses;
    },
  };
}
