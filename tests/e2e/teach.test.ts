// Own classes: pictures in, a taught network out.
import { readFileSync } from "node:fs";
import { crc32, deflateSync } from "node:zlib";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { launch } from "../support/browser.js";
import { classified, heldOut, open, text } from "./page.js";

let browser: Browser;
const url = inject("page");
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());

const classes = { zero: 0, three: 3, seven: 7 };

/** A grey picture of 28x28 as a PNG file. */
function png(pixels: Uint8Array): Buffer {
  const chunk = (kind: string, data: Buffer) => {
    const body = Buffer.concat([Buffer.from(kind), data]);
    const frame = Buffer.alloc(8);
    frame.writeUInt32BE(data.length, 0);
    frame.writeUInt32BE(crc32(body), 4);
    return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(28, 0);
  header.writeUInt32BE(28, 4);
  header[8] = 8; // bits of grey
  const rows = Array.from({ length: 28 }, (_, y) => [0, ...pixels.subarray(28 * y, 28 * (y + 1))]);
  const signature = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]);
  const data = chunk("IDAT", deflateSync(Buffer.from(rows.flat())));
  return Buffer.concat([signature, chunk("IHDR", header), data, chunk("IEND", Buffer.alloc(0))]);
}

function digits(digit: number, from: number, count: number): { name: string; mimeType: string; buffer: Buffer }[] {
  const chosen = heldOut().filter(({ label }) => label === digit);
  const files = chosen.slice(from, from + count).map(({ pixels }, i) => ({
    name: `${digit}-${from + i}.png`,
    mimeType: "image/png",
    buffer: png(pixels),
  }));
  expect(files.length).toBe(count);
  return files;
}

async function choose(page: Page, label: string): Promise<void> {
  await page.waitForSelector("#picker optgroup", { state: "attached" });
  await page.selectOption("#picker", { label });
  await page.waitForSelector('#network-line:has-text("resnet20")');
}

async function setUp(page: Page, names: string, from = ""): Promise<void> {
  await page.fill("#teach-classes", names);
  await page.selectOption("#teach-from", from);
  await page.click("#teach-begin");
}

const counted = (page: Page, name: string, count: string) =>
  page.waitForSelector(`#teach-list [data-name="${name}"] .teach-count:text-is("${count}")`);

async function seen(page: Page, file: ReturnType<typeof digits>[number]): Promise<string> {
  await page.setInputFiles("#teach-picture", file);
  await page.waitForSelector("#teach-answer[aria-busy=false]", { state: "attached" });
  return (await page.textContent("#teach-answer .best .bar-label")) ?? "";
}

test("clothes become digits: of three, learnt from twenty pictures each, at least nine of ten others are known", async () => {
  const { page, complaints, close } = await open(browser, url);
  await classified(page);
  await choose(page, "ResNet-20: clothes (Fashion-MNIST)");
  await setUp(page, "zero, three,seven", "layer2.2.relu");
  for (const [name, digit] of Object.entries(classes)) {
    await page.setInputFiles(`#teach-list [data-name=${name}] .teach-add`, digits(digit, 0, 20));
    await counted(page, name, "20 pictures");
  }
  await page.click("#teach-learn");
  await page.waitForSelector("#teach-state[data-state=done]");
  console.log(`three digits of twenty pictures: ${await text(page, "teach-state")}`);
  expect(await text(page, "teach-state")).toMatch(/^learnt in \d+\.\d s, \d+\.\d % of the held-out pictures right$/);

  let right = 0;
  for (const [name, digit] of Object.entries(classes)) {
    for (const file of digits(digit, 20, 20)) if ((await seen(page, file)) === name) right++;
  }
  console.log(`right of 60 others: ${right}`);
  expect(right).toBeGreaterThanOrEqual(54);

  // The network can be used, and its file knows the classes.
  await page.click("#teach-use");
  await page.waitForSelector('#network-line:has-text("resnet20, taught 3 classes here")');
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#save")]);
  const buffer = readFileSync(await download.path());
  await page.setInputFiles("#file", { name: "taught.safetensors", mimeType: "", buffer });
  await page.waitForSelector('#network-line:has-text("taught.safetensors")');
  const [seven] = digits(7, 20, 1);
  await page.setInputFiles("#picture", seven!);
  await page.waitForSelector("#picture-answer[aria-busy=false]");
  const known = await page.locator("#picture-answer li:visible .bar-label").allInnerTexts();
  expect(known.sort()).toEqual(["seven", "three", "zero"]);
  expect(complaints).toEqual([]);
  await close();
});

test("pictures of the camera are taken, learnt and told apart live; what cannot be read is listed", async () => {
  const { page, complaints, close } = await open(browser, url, { permissions: ["camera"] });
  await classified(page);
  await choose(page, "ResNet-20: photographs (CIFAR-10)");
  await setUp(page, "screen, nothing");
  await counted(page, "screen", "0 pictures");
  expect(await page.isDisabled("#teach-learn")).toBe(true);

  await page.click("#teach-camera");
  for (const count of ["1 picture", "2 pictures", "3 pictures"]) {
    await page.click("#teach-list [data-name=screen] .teach-take");
    await counted(page, "screen", count);
  }
  await page.click("#teach-list [data-name=screen] .teach-remove");
  await counted(page, "screen", "2 pictures");

  const broken = { name: "broken.png", mimeType: "image/png", buffer: Buffer.from("not a picture") };
  await page.setInputFiles("#teach-list [data-name=nothing] .teach-add", [...digits(1, 0, 2), broken]);
  await counted(page, "nothing", "2 pictures");
  expect(await text(page, "teach-errors")).toContain("1 of 3 pictures skipped: could not be read: broken.png");

  await page.click("#teach-learn");
  await page.waitForSelector("#teach-state[data-state=done]");
  await page.waitForSelector('#teach-answer .best:has-text("screen")');
  await page.click("#teach-camera");
  expect(await page.isVisible("#teach-video")).toBe(false);
  expect(complaints).toEqual([]);
  await close();
});

test("what cannot be taught is refused, and the classes that were set up stay", async () => {
  const { page, close } = await open(browser, url);
  await classified(page);
  await setUp(page, "a, b");
  await page.waitForSelector('#teach-errors:has-text("lenet5, as it is in use, takes pictures of one size only")');
  await choose(page, "ResNet-20: photographs (CIFAR-10)");
  await setUp(page, "a, b");
  await counted(page, "b", "0 pictures");
  await setUp(page, "a, a");
  await page.waitForSelector("#teach-errors [data-code=argument]");
  expect(await page.locator("#teach-list li").count()).toBe(2);
  await close();
});
