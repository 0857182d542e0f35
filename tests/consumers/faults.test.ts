// Workers that end or cannot start, frames without storage, and images that cannot be read, in Chromium.
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { launch, serve } from "../support/browser.js";
import { addFiles, isolation, pack, policy, project, remove } from "./projects.js";

const main = `
import * as convoke from "./node_modules/convoke/dist/index.js";
globalThis.convoke = convoke;
globalThis.told = (promise) => promise.then(
  () => ({ code: "none", message: "" }),
  (error) => ({ code: error.code ?? error.name, message: error.message }),
);
globalThis.gray = () => ({ data: new Float32Array(1024).fill(0.25), shape: [1, 1, 32, 32] });
document.getElementById("out").textContent = "ready";
`;

interface Told {
  code: string;
  message: string;
}
declare global {
  var told: (promise: Promise<unknown>) => Promise<Told>;
}

let base: string;
let browser: Browser;
let projects = 0;
beforeAll(async () => {
  base = pack();
  browser = await launch();
});
afterAll(async () => {
  await browser?.close();
  remove(base);
});

async function open(headers: Record<string, string> = isolation, prepare?: (page: Page) => Promise<unknown>) {
  const folder = addFiles(project(base, `faults${++projects}`, main));
  const server = await serve(folder, { ...headers, ...policy });
  const context = await browser.newContext();
  onTestFinished(async () => {
    await context.close();
    await server.close();
  });
  const page = await context.newPage();
  await prepare?.(page);
  await page.goto(server.url);
  await page.waitForFunction(() => document.getElementById("out")?.textContent === "ready");
  return page;
}

test("a worker that ends without an event rejects what waits, and the next load starts another", async () => {
  const page = await open();
  await page.evaluate(() => convoke.capabilities());
  const worker = page.workers().find((w) => w.url().endsWith("/worker.js"))!;
  const running = page.evaluate(async () => {
    const net = await convoke.Network.create("lenet5", { seed: 1 });
    document.title = "made";
    const ended = await told(
      (async () => {
        for (;;) await net.run(gray());
      })(),
    );
    const again = await convoke.Network.create("lenet5", { seed: 1 });
    return { ended, shape: (await again.run(gray())).shape };
  });
  await page.waitForFunction(() => document.title === "made");
  await worker.evaluate(() => self.close()).catch(() => {});
  const { ended, shape } = await running;
  expect(ended.code).toBe("worker-crashed");
  expect(shape).toEqual([1, 10]);
});

test("a worker whose script is refused says why, with what was seen", async () => {
  const page = await open(isolation, (page) =>
    page.route("**/dist/worker.js", (route) => route.fulfill({ status: 404, body: "gone" })),
  );
  const { code, message } = await page.evaluate(() => told(convoke.Network.create("lenet5")));
  expect(code).toBe("worker-crashed");
  expect(message).toMatch(/did not start: .*worker\.js did not load: the server answers 404; or .*worker: false/);
  const shape = await page.evaluate(async () => {
    const net = await convoke.Network.create("lenet5", { worker: false });
    return (await net.run(gray())).shape;
  });
  expect(shape).toEqual([1, 10]);
});

test("in a sandboxed frame, without workers and storage, a load works on the page's thread", async () => {
  const cors = { "Access-Control-Allow-Origin": "*", "Content-Security-Policy": "sandbox allow-scripts" };
  const folder = addFiles(project(base, `faults${++projects}`, main));
  const server = await serve(folder, cors);
  const page = await browser.newPage();
  onTestFinished(async () => {
    await page.close();
    await server.close();
  });
  await page.goto(server.url);
  await page.waitForFunction(() => document.getElementById("out")?.textContent === "ready");
  const said = await page.evaluate(async () => {
    const net = await convoke.Network.load("./models/lenet5-mnist.safetensors");
    const { worker } = await convoke.capabilities();
    return {
      worker,
      shape: (await net.run(gray())).shape,
      forced: await told(convoke.Network.create("lenet5", { worker: true })),
    };
  });
  expect(said).toMatchObject({ worker: false, shape: [1, 10], forced: { code: "unsupported" } });
});

test("isolation without SharedArrayBuffer runs tensors", async () => {
  const page = await open(isolation, (page) =>
    page.addInitScript(() => Reflect.deleteProperty(globalThis, "SharedArrayBuffer")),
  );
  const shape = await page.evaluate(async () => {
    const net = await convoke.Network.create("lenet5", { tier: "relaxed" });
    return [globalThis.crossOriginIsolated, (await net.run(gray())).shape];
  });
  expect(shape).toEqual([true, [1, 10]]);
});

test("inputs are taken when the call is made, in the worker too; images that cannot be read are refused", async () => {
  const page = await open();
  const said = await page.evaluate(async () => {
    const net = await convoke.Network.create("lenet5", { seed: 1 });
    const pixels = (v: number) => ({ data: new Uint8ClampedArray(28 * 28 * 4).fill(v), width: 28, height: 28 });
    const wanted = [await net.run(gray()), await net.classify(pixels(100))];
    const [tensor, image] = [gray(), pixels(100)];
    const answers = [net.run(tensor), net.classify(image)];
    tensor.data.fill(0);
    image.data.fill(0);
    const got = await Promise.all(answers);
    const closed = await createImageBitmap(new ImageData(4, 4));
    closed.close();
    const sources = [closed, new Image(), document.createElement("video"), new OffscreenCanvas(0, 0), new Blob(["x"])];
    const codes = [];
    for (const source of sources) codes.push((await told(net.classify(source))).code);
    return { equal: JSON.stringify(got) === JSON.stringify(wanted), codes };
  });
  expect(said).toEqual({ equal: true, codes: Array(5).fill("argument") });
});
