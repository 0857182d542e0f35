#!/usr/bin/env node
// Writes a network in every engine's format into a folder:  node bench/models/make.mjs lenet5
//   NAME.safetensors   Convoke        NAME.onnx   onnxruntime-web      NAME.tflite   LiteRT.js
//   NAME.folded.json and .bin         TensorFlow.js and jax-js, called op by op (NCHW, OIHW, batch norm folded)
//   NAME.training.json and .bin       the same with batch norm, of the networks that are trained
//   NAME.int8.onnx and .tflite        the same in 8 bits, of the networks that are quantized
//   NAME.reference.json               logits by plain float64 loops: what every engine must give
import crypto from "node:crypto";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { TENSORS } from "../page/data.mjs";
import { PEERS_ROOT, setup } from "../setup.mjs";
import { fold } from "./graph.mjs";
import { quantize } from "./int8.mjs";
import { onnx, quantizedOnnx } from "./onnx.mjs";
import { reference } from "./reference.mjs";
import { bytes, safetensors } from "./safetensors.mjs";
import { tflite } from "./tflite.mjs";
import { QUANTIZED, TRAINED, ZOO } from "./zoo.mjs";

const HERE = path.dirname(fileURLToPath(import.meta.url));
export const MODELS = path.join(PEERS_ROOT, "models");

/** Files are made again when a source in this folder has changed. */
const SOURCES = crypto.createHash("sha256");
for (const f of fs.readdirSync(HERE).sort()) SOURCES.update(fs.readFileSync(path.join(HERE, f)));
const VERSION = SOURCES.digest("hex");

export async function make(name) {
  const file = (ext) => path.join(MODELS, `${name}.${ext}`),
    last = file("reference.json");
  const read = () => JSON.parse(fs.readFileSync(last, "utf8"));
  if (!fs.existsSync(last) || read().version !== VERSION) await write(name, file);
  return read();
}

async function write(name, file) {
  console.log(`bench: writing ${name}'s model files`);
  fs.mkdirSync(MODELS, { recursive: true });
  const save = (ext, parts) => {
    const fd = fs.openSync(file(ext), "w");
    for (const p of parts) fs.writeFileSync(fd, p);
    fs.closeSync(fd);
  };
  const graph = ZOO[name](),
    folded = fold(graph);
  save("safetensors", safetensors(graph));
  save("onnx", onnx(graph));
  const flatbuffers = createRequire(path.join(PEERS_ROOT, "package.json"))("flatbuffers");
  save("tflite", await tflite(folded, flatbuffers));

  operations(folded, (ext, parts) => save(`folded.${ext}`, parts));
  if (TRAINED.includes(name))
    operations(fold(graph, { training: true }), (ext, parts) => save(`training.${ext}`, parts));
  const { logits, ranges } = reference(folded);
  if (QUANTIZED.includes(name)) {
    const integers = quantize(folded, ranges);
    save("int8.onnx", quantizedOnnx(graph, folded, integers));
    save("int8.tflite", await tflite(folded, flatbuffers, integers));
  }
  save("reference.json", [
    JSON.stringify({
      version: VERSION,
      name,
      input: graph.input,
      classes: graph.classes,
      macs: graph.macs,
      parameters: graph.parameters,
      logits,
    }),
  ]);
}

/** The folded graph as JSON, its numbers in a file beside it. */
function operations(folded, save) {
  const blobs = [];
  let at = 0;
  const put = (t) => {
    blobs.push(bytes(t.data));
    at += t.data.length;
    return { at: at - t.data.length, shape: t.shape };
  };
  const stored = (o) => TENSORS.filter((k) => o[k]).map((k) => [k, put(o[k])]);
  const ops = folded.ops.map((o) => ({ ...o, ...Object.fromEntries(stored(o)) }));
  save("bin", blobs);
  save("json", [JSON.stringify({ ...folded, ops })]);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  setup();
  for (const name of process.argv.slice(2)) {
    const { logits, version, ...rest } = await make(name);
    console.log(JSON.stringify(rest));
  }
}
