// The packed package in projects with and without bundlers. Each project classifies one digit.
import { execFileSync } from "node:child_process";
import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { build } from "vite";
import { afterAll, beforeAll, expect, test } from "vitest";
import webpack from "webpack";
import { launch, serve } from "../support/browser.js";
import { addFiles, project as install, isolation, pack, policy, remove, root } from "./projects.js";

/** Returns a module that loads the model, classifies the digit, and tells the tier. */
const classify = (specifier: string, source: string, digit: string) => `import { Network } from "${specifier}";
export async function answer() {
  const { pixels } = ${digit};
  const data = new Uint8ClampedArray(pixels.flatMap((v) => [v, v, v, 255]));
  const net = await Network.load(${source});
  const [best] = await net.classify({ data, width: 28, height: 28 }, { top: 1 });
  const said = { label: best.label, probability: best.probability, tier: net.tier, why: net.why };
  net.dispose();
  return said;
}
`;
const show = (module: string) => `${module}
const out = document.getElementById("out");
answer().then((said) => { out.textContent = JSON.stringify(said); }, (error) => { out.textContent = "failed: " + error; });
`;
const fetched = 'await (await fetch("./digit.json")).json()';

interface Answer {
  label: string;
  probability: number;
  tier: string;
  why: string;
}

let base: string;
let browser: Browser;

const project = (name: string, main: string): string => install(base, name, main);

async function textOf(folder: string, headers: Record<string, string>, ready: string): Promise<string> {
  const server = await serve(folder, headers);
  const page = await browser.newPage();
  const complaints: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  try {
    await page.goto(server.url);
    await page.waitForFunction((id) => document.getElementById(id)?.textContent, ready, { timeout: 60_000 });
    expect(complaints).toEqual([]);
    return (await page.textContent(`#${ready}`)) ?? "";
  } finally {
    await page.close();
    await server.close();
  }
}

function expectSeven(text: string): Answer {
  expect(text).not.toContain("failed");
  const answer = JSON.parse(text) as Answer;
  expect(answer.label).toBe("7");
  expect(answer.probability).toBeGreaterThan(0.9);
  return answer;
}

/** Expects equal answers on threads, with isolation, and on one thread, without it. */
async function works(folder: string) {
  const isolated = expectSeven(await textOf(folder, { ...isolation, ...policy }, "out"));
  expect(isolated.tier).toBe("threads");
  const bare = expectSeven(await textOf(folder, policy, "out"));
  expect(bare.tier).toBe("relaxed");
  expect(bare.why).toMatch(/isolat/i);
  expect(bare.probability).toBeCloseTo(isolated.probability, 4);
}

const model = '"./models/lenet5-mnist.safetensors"';

beforeAll(async () => {
  base = pack();
  browser = await launch();
});
afterAll(async () => {
  await browser?.close();
  remove(base);
});

test("plain HTML, no bundler", async () => {
  const module = classify("./node_modules/convoke/dist/index.js", model, fetched);
  await works(addFiles(project("plain", show(module))));
});

test("Vite without settings", async () => {
  const folder = project("vite", show(classify("convoke", model, fetched)));
  await build({ root: folder, configFile: false, logLevel: "error" });
  await works(addFiles(join(folder, "dist")));
});

test("webpack without settings", async () => {
  const folder = project("webpack", show(classify("convoke", model, fetched)));
  await new Promise<void>((resolve, reject) => {
    webpack(
      { mode: "production", context: folder, entry: "./main.js", output: { path: join(folder, "dist") } },
      (error, stats) => {
        if (error || stats?.hasErrors()) reject(error ?? new Error(stats?.toString()));
        else resolve();
      },
    );
  });
  // webpack's bundle has the entry's name, main.js.
  cpSync(join(folder, "index.html"), join(folder, "dist", "index.html"));
  await works(addFiles(join(folder, "dist")));
});

test("Node", () => {
  const digit = readFileSync(join(root, "tests/consumers/digit.json"), "utf8");
  const module = classify("convoke", "process.argv[2]", digit);
  const folder = addFiles(project("node", `${module}\nconsole.log(JSON.stringify(await answer()));\n`));
  const output = execFileSync("node", ["main.js", "models/lenet5-mnist.safetensors"], {
    cwd: folder,
    encoding: "utf8",
  });
  expectSeven(output);
});

for (const [name, path] of [
  ["repository", "README.md"],
  ["package", "pkg/npm/README.md"],
] as const) {
  test(`the example in the README of the ${name} runs as it stands`, async () => {
    const readme = readFileSync(join(root, path), "utf8");
    const example = /```js\n([\s\S]*?)```/.exec(readme)?.[1] ?? "";
    expect(example).toContain("Network.load");
    const module = example.replace('"convoke"', '"./node_modules/convoke/dist/index.js"');
    const shown = `${module}\ndocument.getElementById("out").textContent = bytes.length;\n`;
    const folder = addFiles(project(`readme-${name}`, shown));
    const written = Number(await textOf(folder, { ...isolation, ...policy }, "out"));
    expect(written).toBeGreaterThan(60_000);
  });
}

test("CPU and WebGPU give the same logits on the thousand held-out digits", async () => {
  const main = `import { Network } from "./node_modules/convoke/dist/index.js";
const COUNT = 1000, BATCH = 100;
const bytes = new Uint8Array(await (await fetch("./mnist-heldout.bin")).arrayBuffer());
const load = (backend) => Network.load("./models/lenet5-mnist.safetensors", { backend });
const [cpu, gpu] = [await load("cpu"), await load("webgpu")];
let worst = 0, right = 0;
for (let first = 0; first < COUNT; first += BATCH) {
  const data = new Float32Array(BATCH * 1024).fill(-0.42);
  for (let i = 0; i < BATCH * 784; i++) {
    const [image, y, x] = [Math.floor(i / 784), Math.floor(i / 28) % 28, i % 28];
    data[image * 1024 + (y + 2) * 32 + x + 2] = bytes[first * 784 + i] / 255 / 0.31 - 0.42;
  }
  const input = () => ({ data: data.slice(), shape: [BATCH, 1, 32, 32] });
  const [a, b] = [await cpu.run(input()), await gpu.run(input())];
  a.data.forEach((v, i) => { worst = Math.max(worst, Math.abs(v - b.data[i])); });
  for (let i = 0; i < BATCH; i++) {
    const logits = a.data.subarray(i * 10, i * 10 + 10);
    if (logits.indexOf(Math.max(...logits)) === bytes[COUNT * 784 + first + i]) right++;
  }
}
document.getElementById("out").textContent = JSON.stringify({ worst, right, backends: [cpu.backend, gpu.backend] });
`;
  const folder = addFiles(project("parity", main));
  cpSync(join(root, "www/public/data/mnist-heldout.bin"), join(folder, "mnist-heldout.bin"));
  const { worst, right, backends } = JSON.parse(await textOf(folder, { ...isolation, ...policy }, "out"));
  expect(backends).toEqual(["cpu", "webgpu"]);
  expect(worst).toBeLessThan(1e-4);
  expect(right).toBeGreaterThan(980);
}, 180_000);

test("the package holds what it promises and depends on nothing", () => {
  const folder = join(project("content", ""), "node_modules/convoke");
  const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  expect(manifest.dependencies ?? {}).toEqual({});
  for (const file of ["README.md", "LICENSE-MIT", "LICENSE-APACHE", "dist/index.d.ts", "dist/vendor/comlink.LICENSE"]) {
    expect(readFileSync(join(folder, file)).length).toBeGreaterThan(0);
  }
});
