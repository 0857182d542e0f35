// ONNX files read and written through the package's public surface.
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { conversionError } from "../src/engine/onnx.js";
import { type ConvokeError, liveBytes, Network, type Progress } from "../src/node.js";
import { initSync } from "../wasm/onnx/convoke.js";
import { failure, serve } from "./support.js";

const at = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
const read = (path: string) => new Uint8Array(readFileSync(at(path)));

const golden = readdirSync(at("tests/golden/onnx")).filter((name) => name.endsWith(".onnx"));
expect(golden.length).toBeGreaterThan(4);

for (const name of golden) {
  test(`${name} gives ONNX Runtime's numbers`, async () => {
    const { shape, x, y, tolerance } = JSON.parse(
      readFileSync(at(`tests/golden/onnx/${name.replace(".onnx", ".json")}`), "utf8"),
    );
    using net = await Network.load(read(`tests/golden/onnx/${name}`), { backend: "cpu" });
    const { data } = await net.run({ data: Float32Array.from(x), shape });
    expect(data.length).toBe(y.length);
    const largest = Math.max(...y.map(Math.abs));
    data.forEach((value, i) => {
      expect(Math.abs(value - y[i]) / largest).toBeLessThan(tolerance);
    });
  });
}

test("weights of a quantized file keep their codes when they are saved in 8 bits", async () => {
  using net = await Network.load(read("tests/golden/onnx/qdq.onnx"), { backend: "cpu" });
  const { shape, x } = JSON.parse(readFileSync(at("tests/golden/onnx/qdq.json"), "utf8"));
  const small = await net.save({ quantize: "int8" });
  expect(small.length).toBeLessThan((await net.save()).length);
  using back = await Network.load(small, { backend: "cpu" });
  const y = async (net: Network) => (await net.run({ data: Float32Array.from(x), shape })).data;
  expect(await y(back)).toEqual(await y(net));
});

for (const model of ["lenet5-mnist", "resnet20-fashion-mnist"]) {
  test(`${model} comes back from ONNX with the same logits, labels and preprocessing`, async () => {
    using net = await Network.load(at(`models/${model}.safetensors`), { backend: "cpu" });
    const onnx = await net.toOnnx();
    expect(onnx[0]).toBe(8);
    using back = await Network.load(onnx, { backend: "cpu" });
    const size = net.input.reduce((n, d) => n * d);
    const input = () => ({
      data: Float32Array.from({ length: size }, (_, i) => Math.sin(i)),
      shape: [1, ...net.input],
    });
    expect((await back.run(input())).data).toEqual((await net.run(input())).data);
    const picture = { data: Uint8ClampedArray.from({ length: 28 * 28 * 4 }, (_, i) => i % 256), width: 28, height: 28 };
    expect(await back.classify(picture)).toEqual(await net.classify(picture));
    expect(back.labels).toEqual(net.labels);
    expect(back.provenance).toEqual(net.provenance);
    expect(back.layers).toEqual(net.layers);
  });
}

test("by URL, with progress and integrity of the file itself", async () => {
  const bytes = read("tests/golden/onnx/scaled.onnx");
  const url = await serve((_, response) => void response.end(bytes));
  const seen: Progress[] = [];
  using net = await Network.load(url, { onProgress: (p) => seen.push(p) });
  expect(net.input).toEqual([3, 9, 10]);
  expect(seen).toContainEqual({ phase: "convert", loaded: 1, total: 1 });
  expect((await failure(Network.load(url, { integrity: `sha256-${"0".repeat(64)}` }))).code).toBe("integrity");
});

test("no memory stays behind", async () => {
  using net = await Network.create("alexnet-torchvision", { backend: "cpu", classes: 10 });
  const onnx = await net.toOnnx();
  expect(onnx.length).toBeGreaterThan(200e6);
  const before = await liveBytes();
  (await Network.load(onnx, { backend: "cpu" })).dispose();
  await failure(Network.load(onnx.subarray(0, onnx.length - 9)));
  expect(await liveBytes()).toBeLessThan(before + 4096);
  // The converter's present memory: the memory that held the file was replaced.
  const { memory } = initSync({ module: new Uint8Array() });
  expect(memory.buffer.byteLength).toBeLessThan(4e6);
});

test("options that do not go with the file", async () => {
  const bytes = read("tests/golden/onnx/scaled.onnx");
  const named = await failure(Network.load(bytes, { arch: "lenet5" }));
  expect(named.code).toBe("argument");
  expect(named.message).toContain("an ONNX file holds its network");
  // @ts-expect-error: no such format
  expect((await failure(Network.load(bytes, { format: "tflite" }))).details.expected).toBe("onnx or safetensors");
  expect((await failure(Network.load(bytes, { format: "safetensors" }))).code).not.toBe("argument");
});

test("all that is not supported is listed at once", async () => {
  using net = await Network.create("lenet5", { backend: "cpu" });
  const text = Buffer.from(await net.toOnnx()).toString("latin1");
  const changed = Buffer.from(text.replaceAll("MaxPool", "MaxRoiP"), "latin1");
  const error = await failure(Network.load(new Uint8Array(changed)));
  expect(error.code).toBe("unsupported");
  for (const said of [error.message, String(error.details.problems)]) {
    expect(said).toContain("node `pool1` (MaxRoiP)");
    expect(said).toContain("node `pool2` (MaxRoiP)");
  }
});

/** Error codes of the malformed files that are not refused with `format`. */
const otherwise: Record<string, string> = {
  "constants-that-grow.onnx": "too-large",
  "early-ir.onnx": "version",
  "empty.onnx": "version",
  "huge-constant.onnx": "too-large",
  "huge-input.onnx": "too-large",
  "huge-pads.onnx": "unsupported",
  "later-opset.onnx": "version",
  "no-groups.onnx": "unsupported",
  "not-finite.onnx": "not-finite",
  "page.onnx": "html",
  "two-inputs.onnx": "unsupported",
  "unknown-operator.onnx": "unsupported",
  "values-that-grow.onnx": "too-large",
};

for (const name of readdirSync(at("tests/malformed")).filter((name) => name.endsWith(".onnx"))) {
  test(`${name} is refused`, async () => {
    const error = await failure(Network.load(read(`tests/malformed/${name}`), { format: "onnx" }));
    expect(error.code).toBe(otherwise[name] ?? "format");
    expect(error.message.length).toBeLessThan(1000);
  });
}

test("a trap of the converter is told, and is no crash of the engine", () => {
  const trap = () => {
    // The smallest module whose function traps: `unreachable`.
    const bytes = [
      0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0, 10, 5, 1, 3, 0, 0, 11,
    ];
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(bytes)));
    try {
      (exports.f as () => void)();
    } catch (error) {
      return error;
    }
    return undefined;
  };
  const told = conversionError(trap(), "no room for 7 bytes") as ConvokeError;
  expect([told.code, told.message]).toEqual(["unsupported", "the file could not be converted: no room for 7 bytes"]);
  expect(conversionError(trap()).message).toContain("unreachable");
  expect(conversionError(told)).toBe(told);
});
