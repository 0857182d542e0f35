// The code blocks of the README run, in Node. The first one also runs in a browser: tests/consumers.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import * as convoke from "../src/node.js";
import { pkg, readmeBlocks } from "./documentation.js";

const model = (name: string) => join(pkg, "../../models", `${name}.safetensors`);

/** Three digits of noise for each of four classes. */
function noise(seed: number): convoke.TrainingData {
  const images = new Uint8Array(12 * 784).map((_, i) => (i * 31 + seed * 17) % 256);
  return { images, labels: Array.from({ length: 12 }, (_, i) => i % 4), shape: [12, 1, 28, 28] };
}

const photos = (shade: number) =>
  Array.from({ length: 4 }, (_, i) => ({
    data: new Uint8ClampedArray(32 * 32 * 4).fill(shade + i),
    width: 32,
    height: 32,
  }));

/** Runs a block with the names that the text around it introduces. */
async function execute(code: string): Promise<void> {
  const imported = code.replace(/import (\{.*\}) from "convoke";/, "const $1 = convoke;");
  const body = imported.replaceAll(/"models\/([\w-]+)\.safetensors"/g, (_, name) => JSON.stringify(model(name)));
  using net = await convoke.Network.load(model(code.includes("transfer(") ? "resnet20-fashion-mnist" : "lenet5-mnist"));
  const own = /const net\b/.test(code);
  const names = { convoke, ...(own ? {} : { net }) };
  const fixtures = {
    ...names,
    ...(own ? {} : { data: noise(1), heldOut: noise(2) }),
    cats: photos(20),
    dogs: photos(200),
  };
  const AsyncFunction = (async () => {}).constructor as FunctionConstructor;
  await new AsyncFunction(...Object.keys(fixtures), body)(...Object.values(fixtures));
}

const blocks = readmeBlocks();

for (const [i, code] of blocks.entries()) {
  test(`block ${i + 1} runs: ${code.trim().split("\n")[0]}`, async () => {
    const log = vi.spyOn(console, "log").mockImplementation(() => {});
    await execute(code);
    if (code.includes("console.log")) expect(log).toHaveBeenCalled();
    log.mockRestore();
  });
}

test("a block with an option that the engine refuses fails", async () => {
  await expect(execute('await net.trainer({ schedule: { kind: "cosine", warmup: 2 } });')).rejects.toThrow("warmup");
});

test("options by `kind` stand in blocks, which run, and nowhere else", () => {
  const readme = readFileSync(join(pkg, "README.md"), "utf8");
  expect(readme.replaceAll(/```js\n[\s\S]*?```/g, "")).not.toContain("kind: ");
  for (const kind of ["sgd", "adam", "adamw", "rmsprop", "constant", "cosine", "step", "one-cycle"]) {
    expect(blocks.some((code) => code.includes(`kind: "${kind}"`))).toBe(true);
  }
});
