// Every network of the list, files of other tools, and the view into a network.
import { readFileSync } from "node:fs";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { launch } from "../support/browser.js";
import { classified, open, text } from "./page.js";

let browser: Browser;
const url = inject("page");
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());

const picture = new URL("../golden/images/lossy-webp-bilinear-resize-128-crop-41.png", import.meta.url);

/** Chooses a network by its label and waits until it has answered. */
async function choose(page: Page, label: string, line: string): Promise<void> {
  await page.waitForSelector("#picker optgroup", { state: "attached" });
  await page.selectOption("#picker", { label });
  await page.waitForFunction((t) => document.getElementById("network-line")?.textContent?.startsWith(t), line);
  await looked(page);
}

const looked = (page: Page) => page.waitForSelector("#picture-answer[aria-busy=false]");
const drawn = (page: Page) => page.waitForSelector("#maps[aria-busy=false]");

test("a network with random weights shows its layers, their times, its answer and its maps", async () => {
  const { page, complaints, close } = await open(browser, url);
  await classified(page);
  await choose(page, "resnet20", "resnet20, random weights");
  expect(await text(page, "layers-total")).toMatch(/^Together269,72240,551,040\d+\.\d{3}$/);
  const rows = page.locator("#layers tr");
  expect(await rows.first().innerText()).toMatch(/^conv1\s+conv2d\s+16 × 32 × 32\s+432\s+442,368\s+\d+\.\d{3}$/);

  await page.setInputFiles("#picture", { name: "p.png", mimeType: "image/png", buffer: readFileSync(picture) });
  await looked(page);
  expect(await page.locator("#picture-answer li:visible").count()).toBe(5);

  await page.click('[data-layer="layer1.0.conv1"]');
  await drawn(page);
  expect(await text(page, "maps-caption")).toMatch(/^layer1\.0\.conv1: 16 maps of 32 × 32, from -?\d/);
  const grey = await page.evaluate(() => {
    const canvas = document.getElementById("maps-canvas") as HTMLCanvasElement;
    const { width, height } = canvas;
    const { data } = canvas.getContext("2d")!.getImageData(0, 0, width, height);
    return { maps: Math.floor((width + 1) / 33) * Math.floor((height + 1) / 33), values: new Set(data).size };
  });
  expect(grey.maps).toBeGreaterThanOrEqual(16);
  expect(grey.values).toBeGreaterThan(20);
  expect(complaints).toEqual([]);
  await close();
});

test("the self-test says in words how right each backend is", async () => {
  const { page, complaints, close } = await open(browser, url);
  await classified(page);
  const result = page.locator("#self-test-results");
  await page.click("#self-test");
  await page.waitForSelector("#self-test-results li");
  expect(await result.innerText()).toContain("CPU is right: all 7 steps equal the exact sums bit for bit.");

  await choose(page, "resnet20", "resnet20, random weights");
  expect(await result.locator("li").count()).toBe(0);
  await page.click("#self-test");
  await page.waitForSelector("#self-test-results li");
  expect(await result.innerText()).toMatch(
    /^CPU is right: all \d+ steps agree with exact sums\. The worst, [\w.]+ \(.+\), is off by \d\.\de-[5-9] of its/,
  );
  expect(await result.innerText()).toMatch(/WebGPU (is right: |was not tested: )/);
  expect(complaints).toEqual([]);
  await close();
});

test("a trained network knows its classes", async () => {
  const { page, complaints, close } = await open(browser, url);
  await classified(page);
  await choose(page, "ResNet-20: photographs (CIFAR-10)", "resnet20, shipped with this page");
  const labels = await page.locator("#picture-answer .bar-label").allInnerTexts();
  expect(["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]).toEqual(
    expect.arrayContaining(labels.slice(0, 5)),
  );
  expect(await text(page, "provenance-list")).toContain("convoke train resnet20");
  await page.click("#shipped");
  await page.waitForFunction(() => document.getElementById("network-line")?.textContent?.startsWith("lenet5"));
  expect(complaints).toEqual([]);
  await close();
});

/** LeNet-5's weights as other tools write them: no graph, no hash. */
function plainWeights(): Buffer {
  const shapes: Record<string, number[]> = {
    "conv1.weight": [6, 1, 5, 5],
    "conv1.bias": [6],
    "conv2.weight": [16, 6, 5, 5],
    "conv2.bias": [16],
    "fc1.weight": [120, 400],
    "fc1.bias": [120],
    "fc2.weight": [84, 120],
    "fc2.bias": [84],
    "fc3.weight": [10, 84],
    "fc3.bias": [10],
  };
  let end = 0;
  const entries = Object.entries(shapes).map(([name, shape]) => {
    const begin = end;
    end += 4 * shape.reduce((n, d) => n * d);
    return [name, { dtype: "F32", shape, data_offsets: [begin, end] }];
  });
  const header = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const values = Float32Array.from({ length: end / 4 }, (_, i) => Math.sin(i) / 10);
  return Buffer.concat([length, header, Buffer.from(values.buffer)]);
}

test("weights of other tools load into the network that is named", async () => {
  const { page, complaints, close } = await open(browser, url);
  await classified(page);
  await page.waitForSelector("#picker optgroup", { state: "attached" });
  const file = { name: "plain.safetensors", mimeType: "", buffer: plainWeights() };
  await page.setInputFiles("#file", file);
  await page.waitForSelector("#network-errors :text('Could not load plain.safetensors')");
  await page.selectOption("#arch", "lenet5");
  await page.setInputFiles("#file", file);
  await page.waitForFunction(() =>
    document.getElementById("network-line")?.textContent?.startsWith("lenet5, from the file plain.safetensors"),
  );
  await looked(page);
  expect(complaints).toEqual([]);
  await close();
});

test("an ONNX file is dropped on the page, shows what it sees, and is saved as ONNX again", async () => {
  const { page, complaints, close } = await open(browser, url);
  const fetched: string[] = [];
  page.on("request", (request) => fetched.push(request.url()));
  await classified(page);
  await choose(page, "ResNet-20: clothes (Fashion-MNIST)", "resnet20, shipped with this page");
  const answer = () => page.locator("#picture-answer li").allInnerTexts();
  const [shipped, layers] = [await answer(), await page.locator("#layers tr").count()];
  const modules = () => fetched.filter((address) => address.endsWith(".wasm")).length;
  const before = modules();

  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#save-onnx")]);
  expect(download.suggestedFilename()).toBe("resnet20.onnx");
  expect(modules(), "the converter's is fetched now").toBe(before + 1);
  const bytes = readFileSync(await download.path());
  await page.evaluate((base64) => {
    const data = new DataTransfer();
    data.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], "mine.onnx"));
    dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
  }, bytes.toString("base64"));
  await page.waitForFunction(() =>
    document.getElementById("network-line")?.textContent?.startsWith("resnet20, from the file mine.onnx"),
  );
  await looked(page);
  expect(await answer()).toEqual(shipped);
  expect(await page.locator("#layers tr").count()).toBe(layers);
  await page.locator("#layers button").first().click();
  await drawn(page);
  expect(await text(page, "maps-caption")).toMatch(/ maps of 32 × 32/);
  expect(complaints).toEqual([]);
  await close();
});

test("a damaged ONNX file is refused and the network stays", async () => {
  const { page, close } = await open(browser, url);
  await classified(page);
  await page.setInputFiles("#file", { name: "bad.onnx", mimeType: "", buffer: Buffer.from("no network") });
  await page.waitForSelector("#network-errors :text('Could not load bad.onnx')");
  expect(await text(page, "network-errors")).toContain("ONNX model: expected a protobuf message");
  expect(await text(page, "network-line")).toMatch(/^lenet5, shipped/);
  await close();
});

test("what is no picture is refused and the last one stays", async () => {
  const { page, close } = await open(browser, url);
  await classified(page);
  await looked(page);
  await page.setInputFiles("#picture", { name: "no.png", mimeType: "image/png", buffer: Buffer.from("no picture") });
  await page.waitForSelector("#network-errors :text('Could not read the picture no.png')");
  expect(await page.locator("#picture-answer li:visible").count()).toBe(5);
  await close();
});
