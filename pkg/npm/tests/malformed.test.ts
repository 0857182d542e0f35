// Every file of tests/malformed/ is refused with a typed error that names its defect.
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ErrorCode, liveBytes, Network } from "../src/node.js";
import { failure, serve } from "./support.js";

const folder = fileURLToPath(new URL("../../../tests/malformed/", import.meta.url));

/** The error code of each file, and a part of its message. Sizes in WebAssembly have 32 bits. */
const wanted: Record<string, [ErrorCode, string]> = {
  "bad-preprocess.safetensors": ["argument", "std"],
  "corrupt-data.safetensors": ["integrity", "SHA-256 mismatch: expected"],
  "data-added.safetensors": ["format", "bytes added"],
  "data-cut.safetensors": ["format", "truncated"],
  "deep.safetensors": ["format", "model header"],
  "duplicate-metadata.safetensors": ["format", "`convoke` twice"],
  "duplicate-tensor.safetensors": ["format", "`conv.bias` twice"],
  "empty.safetensors": ["format", "got a file of 0 bytes"],
  "endless-header.safetensors": ["too-large", "exceeds"],
  "endless-range.safetensors": ["format", "`ranges` of `fc`: expected a number above 0"],
  "few-labels.safetensors": ["format", "expected 4 names"],
  "header-cut.safetensors": ["format", "truncated file: 92 bytes"],
  "huge-layer.safetensors": ["layer", "out_features: expected a whole number below 2^32"],
  "int8-few-scales.safetensors": ["shape", "expected shape 4, got 3"],
  "int8-without-scale.safetensors": ["format", "expected scales"],
  "later-graph.safetensors": ["version", "version 7 is not supported (this build reads 1)"],
  "later-version.safetensors": ["version", "version 2 is not supported (this build reads 1)"],
  "long-integers.safetensors": ["format", "expected F64, F32, F16, BF16 or I8, got I64"],
  "misshapen-tensor.safetensors": ["weights", "expected 4, got 5"],
  "missing-tensor.safetensors": ["weights", "missing [fc.bias]"],
  "nan.safetensors": ["not-finite", "value NaN at index 2"],
  "negative-range.safetensors": ["format", "`ranges` of `fc`: expected a number above 0"],
  "no-graph.safetensors": ["format", "with `graph` in its metadata"],
  "no-hash.safetensors": ["format", "with `sha256` in its metadata"],
  "no-metadata.safetensors": ["format", "with `convoke` in its metadata"],
  "not-json.safetensors": ["format", "model header"],
  "not-utf8.safetensors": ["format", "model header"],
  "overflowing-shape.safetensors": ["format", "integer `4294967296`, expected usize"],
  "overlapping.safetensors": ["format", "offset"],
  "oversized-header.safetensors": ["too-large", "8388609 exceeds the limit of 8388608"],
  "page.html": ["html", "expected a binary file, got an HTML page"],
  "picture.safetensors": ["format", "begins with 89 50"],
  "range-of-no-weights.safetensors": ["format", "linear layers, got `relu`"],
  "range-of-words.safetensors": ["format", "`ranges` of `fc`: expected a number above 0"],
  "short.safetensors": ["format", "got a file of 5 bytes"],
  "unexpected-tensor.safetensors": ["weights", "unexpected [fd.bias]"],
  "unknown-layer.safetensors": ["unknown-layer", "unknown layer kind `warp`; known:"],
  "unknown-preprocess.safetensors": ["format", "metadata `preprocess`"],
  "unknown-type.safetensors": ["format", "safetensors"],
};

/** Codes whose details are not one expected and one actual value. */
const otherwise: Partial<Record<ErrorCode, string>> = { weights: "missing" };

let survivor: Network;
let before: number;
beforeAll(async () => {
  survivor = await Network.create("lenet5", { seed: 1 });
  await failure(Network.load(new Uint8Array(9)));
  before = await liveBytes();
});
afterAll(() => survivor.dispose());

test("no file is without its line here", () => {
  // ONNX files have their lines in onnx.test.ts.
  const files = readdirSync(folder).filter((name) => !name.endsWith(".onnx"));
  expect(Object.keys(wanted)).toEqual(files.sort());
});

for (const [name, [code, part]] of Object.entries(wanted)) {
  test(`${name} is refused as ${code}`, async () => {
    const bytes = new Uint8Array(readFileSync(folder + name));
    const url = await serve((_, response) => void response.end(bytes));
    for (const source of [bytes, new Blob([bytes]), url]) {
      const error = await failure(Network.load(source));
      expect(`${error.code}: ${error.message}`).toContain(part);
      expect(error.code).toBe(code);
      if (otherwise[code]) expect(error.details).toHaveProperty(otherwise[code]);
      else expect(error.details).toMatchObject({ expected: expect.any(String), actual: expect.any(String) });
    }
    expect(await liveBytes()).toBeLessThan(before + 4096);
  });
}

test("a network loaded before still answers", async () => {
  const { shape } = await survivor.run({ data: new Float32Array(1024), shape: [1, 1, 32, 32] });
  expect(shape).toEqual([1, 10]);
});
