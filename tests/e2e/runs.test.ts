// Runs on images of one's own, of other networks, step by step, side by side, and from one visit to the next.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { launch } from "../support/browser.js";
import { atStep, classified, inState, number, open, text } from "./page.js";

let browser: Browser;
const url = inject("page");
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());

/** Where a bright square stands tells the class. */
function idx(count: number): { images: Buffer; labels: Buffer } {
  const head = (magic: number, ...sizes: number[]) => {
    const bytes = Buffer.alloc(4 * (sizes.length + 1));
    [magic, ...sizes].forEach((value, i) => {
      bytes.writeUInt32BE(value, 4 * i);
    });
    return bytes;
  };
  const images = Buffer.alloc(count * 784);
  const labels = Buffer.alloc(count);
  for (let i = 0; i < count; i++) {
    labels[i] = i % 4;
    const [row, column] = [4 + 12 * (labels[i]! >> 1), 4 + 12 * (labels[i]! % 2)];
    for (let y = 0; y < 8; y++)
      images.fill(255 - (i % 60), i * 784 + (row + y) * 28 + column, i * 784 + (row + y) * 28 + column + 8);
  }
  return {
    images: Buffer.concat([head(0x803, count, 28, 28), images]),
    labels: Buffer.concat([head(0x801, count), labels]),
  };
}

async function chooseIdx(page: Page, images: Buffer, labels: Buffer): Promise<void> {
  await page.selectOption("#train-data", "idx");
  await page.setInputFiles("#train-idx", [
    { name: "squares-images-idx3-ubyte.gz", mimeType: "", buffer: gzipSync(images) },
    { name: "squares-labels-idx1-ubyte", mimeType: "", buffer: labels },
  ]);
}

test("learns own IDX files, one step at a time, and shows what it makes of them", async () => {
  const { page, complaints, close } = await open(browser, url);
  await classified(page);
  const { images, labels } = idx(400);
  await chooseIdx(page, images, labels);
  await page.waitForFunction(() =>
    document.getElementById("train-note")?.textContent?.startsWith("squares: 360 images"),
  );
  expect(await text(page, "train-note")).toMatch(
    /^squares: 360 images of 4 classes to learn from and 40 to judge by, 314 kB/,
  );
  await page.fill("#epochs", "20");
  await page.click("#start");
  await page.click("#pause");
  await inState(page, "paused");
  await page.waitForTimeout(500); // the step that was running
  const held = await number(page, "figure-step");
  for (let i = 1; i <= 3; i++) {
    await page.click("#step");
    await atStep(page, held + i);
    await page.waitForTimeout(200);
    expect(await number(page, "figure-step")).toBe(held + i);
  }
  await page.click("#pause");
  await inState(page, "done");
  expect(await number(page, "figure-heldout")).toBe(100);
  expect(await page.locator("#confusion tr").count()).toBe(4);
  await page.waitForSelector("#watched:not([hidden])");
  expect(await text(page, "watched-text")).toMatch(/^conv1: 6 maps of 28 × 28/);
  expect(await text(page, "watched-filters-text")).toMatch(/^conv1.weight: 6 filters of 5 × 5, from -0\.\d+ \(black\)/);
  // A truncated pair of files is refused, and the digits are back.
  await chooseIdx(page, images.subarray(0, 9000), labels);
  await page.waitForFunction(() => document.getElementById("train-errors")?.textContent);
  expect(await page.textContent("#train-errors")).toContain("expected 313600 bytes of images, got 8984");
  expect(await page.inputValue("#train-data")).toBe("digits");
  expect(complaints).toEqual([]);
  await close();
});

test("learns the clothes of Fashion-MNIST", async () => {
  const { page, complaints, close } = await open(browser, url);
  await classified(page);
  await page.selectOption("#train-data", "clothes");
  await page.fill("#batch-size", "64");
  await page.fill("#epochs", "1");
  await page.click("#start");
  await inState(page, "done");
  expect(await number(page, "figure-step")).toBe(938);
  expect(await number(page, "figure-heldout")).toBeGreaterThan(70);
  expect(await page.locator("#confusion tr").count()).toBe(10);
  expect(await text(page, "runs-rows")).toContain("Fashion-MNIST");
  expect(complaints).toEqual([]);
  await close();
});

test("reads a folder for each class, lists what is no picture, and refuses a class without any", async () => {
  const { page, complaints, close } = await open(browser, url);
  await classified(page);
  const folder = mkdtempSync(path.join(tmpdir(), "pictures-"));
  // One pixel of each colour, as PNG.
  const png = (colour: string) =>
    Buffer.from(
      colour === "dark"
        ? "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
        : "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==",
      "base64",
    );
  try {
    for (const name of ["dark", "light"]) {
      mkdirSync(path.join(folder, name));
      for (let i = 0; i < 10; i++) writeFileSync(path.join(folder, name, `${i}.png`), png(name));
    }
    writeFileSync(path.join(folder, "dark", "broken.png"), "no picture");
    await page.selectOption("#train-network", "resnet20");
    await page.selectOption("#train-data", "folder");
    await page.setInputFiles("#train-folder", folder);
    await page.waitForFunction(() => document.getElementById("train-note")?.textContent?.includes("to learn from"));
    expect(await text(page, "train-note")).toMatch(
      /16 images of 2 classes to learn from and 4 to judge by, .*1 files could not be read: .*dark\/broken\.png/,
    );
    await page.fill("#batch-size", "8");
    await page.fill("#epochs", "2");
    await page.click("#start");
    await inState(page, "done");
    expect(await page.locator("#confusion tr").count()).toBe(2);
    expect(await text(page, "runs-rows")).toContain("resnet20");

    mkdirSync(path.join(folder, "empty"));
    writeFileSync(path.join(folder, "empty", "broken.png"), "no picture");
    await page.selectOption("#train-data", "digits");
    await page.selectOption("#train-data", "folder");
    await page.setInputFiles("#train-folder", folder);
    await page.waitForSelector("#train-errors [role=alert]");
    expect(await page.textContent("#train-errors")).toContain("class `empty`: expected at least 5 pictures, got 0");
  } finally {
    rmSync(folder, { recursive: true });
  }
  expect(complaints).toEqual([]);
  await close();
});

test("a run survives a reload, and its checkpoint goes to a file and back", async () => {
  const { page, complaints, close } = await open(browser, url);
  await classified(page);
  await page.fill("#epochs", "100");
  await page.fill("#batch-size", "64");
  await page.click("#start");
  await atStep(page, 205);
  await page.click("#pause");
  await inState(page, "paused");
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#save-run")]);
  const checkpoint = readFileSync(await download.path());
  expect(download.suggestedFilename()).toMatch(/^lenet5-step2\d\d\.safetensors$/);

  await page.waitForTimeout(500); // until the kept run is written
  await page.reload();
  await classified(page);
  await page.waitForSelector("#kept:not([hidden])");
  expect(await text(page, "kept-text")).toBe("A run of lenet5 was interrupted after step 200.");
  await page.click("#kept-go-on");
  await atStep(page, 201);
  expect(await page.inputValue("#batch-size")).toBe("64");
  await page.click("#stop");
  await inState(page, "stopped");

  await page.setInputFiles("#run-file", { name: "run.safetensors", mimeType: "", buffer: checkpoint });
  await inState(page, "training");
  await atStep(page, 206);
  await page.click("#stop");
  await inState(page, "stopped");
  // Two runs are side by side.
  expect(await page.locator("#runs-rows tr").count()).toBe(2);
  await page.click("#runs-clear");
  expect(await page.isHidden("#runs")).toBe(true);
  expect(complaints).toEqual([]);
  await close();
});

test("plain and residual networks learn one after the other under one recipe", async () => {
  const { page, complaints, close } = await open(browser, url);
  await classified(page);
  const { images, labels } = idx(80);
  await chooseIdx(page, images, labels);
  await page.waitForFunction(() =>
    document.getElementById("train-note")?.textContent?.startsWith("squares: 72 images"),
  );
  await page.fill("#batch-size", "16");
  await page.fill("#epochs", "2");
  await page.click("#twins");
  await page.waitForFunction(() => document.querySelectorAll("#runs-rows tr").length === 2, undefined, {
    timeout: 60_000,
  });
  expect(await page.locator("#runs-rows tr td:nth-child(2)").allTextContents()).toEqual(["resnet20", "plain20"]);
  expect(complaints).toEqual([]);
  await close();
});
