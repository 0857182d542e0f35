import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { launch } from "../support/browser.js";
import { answers, classified, heldOut, open, settled, stroke, switchTo, text } from "./page.js";

let browser: Browser;
const url = inject("page");
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());

test("classifies a digit when it opens, nothing cached", async () => {
  const { page, complaints, close } = await open(browser, url);
  await classified(page);
  expect(await text(page, "answer-text")).toMatch(/^It is 3: [>\d]/);
  expect(complaints).toEqual([]);
  await close();
});

for (const backend of ["cpu", "webgpu"] as const) {
  describe(`on ${backend}`, () => {
    test("knows held-out digits chosen from the samples", async () => {
      const { page, complaints, close } = await open(browser, url);
      await classified(page);
      await switchTo(page, backend);
      let right = 0;
      for (let digit = 0; digit < 10; digit++) {
        await page.click("#clear");
        expect(await settled(page)).toBe("–");
        await page.click(`.sample[data-label="${digit}"]`);
        if ((await settled(page)) === String(digit)) right++;
      }
      expect(right).toBeGreaterThanOrEqual(9);
      expect(complaints).toEqual([]);
      await close();
    });

    test("knows a digit drawn with the mouse", async () => {
      const { page, complaints, close } = await open(browser, url);
      await classified(page);
      await switchTo(page, backend);
      await page.click("#clear");
      await stroke(page, [[142, 40], [140, 120], [138, 235]]); // biome-ignore format: one stroke, one line
      await answers(page, 1);
      await page.click("#clear");
      // An oval, round and back.
      const oval = Array.from({ length: 26 }, (_, i): [number, number] => {
        const angle = (i / 25) * 2 * Math.PI - Math.PI / 2;
        return [140 + 62 * Math.cos(angle), 140 + 90 * Math.sin(angle)];
      });
      await stroke(page, oval);
      await answers(page, 0);
      expect(await text(page, "answer-time")).toContain(backend === "cpu" ? "CPU" : "WebGPU");
      expect(complaints).toEqual([]);
      await close();
    });
  });
}

test("knows held-out digits drawn stroke by stroke through their pixels", async () => {
  const { page, close } = await open(browser, url);
  await classified(page);
  const chosen = heldOut().slice(0, 6);
  let right = 0;
  for (const { label, pixels } of chosen) {
    await page.click("#clear");
    expect(await settled(page)).toBe("–");
    // A dot of the pen is about two of the digit's pixels wide: every run of bright pixels is one stroke.
    for (let y = 0; y < 28; y++) {
      let run: [number, number][] = [];
      for (let x = 0; x <= 28; x++) {
        if (x < 28 && pixels[y * 28 + x]! > 150) run.push([x * 10 + 5, y * 10 + 5]);
        else if (run.length > 0) {
          await stroke(page, [run[0]!, run.at(-1)!]);
          run = [];
        }
      }
    }
    if ((await settled(page)) === String(label)) right++;
  }
  console.log(`drawn through their pixels: ${right} of ${chosen.length}`);
  expect(right).toBeGreaterThanOrEqual(5);
  await close();
});

for (const tier of ["simd128", "relaxed", "threads"]) {
  test(`runs the tier ${tier} and says so`, async () => {
    const { page, complaints, close } = await open(browser, `${url}?tier=${tier}`);
    await classified(page);
    expect(await text(page, "engine")).toContain(`tier=${tier}`);
    const named = { simd128: "SIMD128", relaxed: "relaxed SIMD,", threads: "relaxed SIMD with threads" }[tier];
    expect((await text(page, "engine")).replace(" —", ",")).toContain(named);
    expect(complaints).toEqual([]);
    await close();
  });
}

test("?backend=webgpu starts there", async () => {
  const { page, complaints, close } = await open(browser, `${url}?backend=webgpu`);
  await classified(page);
  expect(await text(page, "engine")).toMatch(/^WebGPU/);
  expect(await page.isChecked("#backend-switch input[value=webgpu]")).toBe(true);
  expect(complaints).toEqual([]);
  await close();
});

test("shows the network's layers", async () => {
  const { page, close } = await open(browser, url);
  await classified(page);
  expect(await page.locator("#layers tr").count()).toBe(12);
  expect(await text(page, "layers-total")).toContain("61,706");
  expect(await text(page, "network-line")).toMatch(/99\.\d+ % right/);
  expect(await text(page, "provenance-list")).toContain("convoke train lenet5");
  await close();
});

test("without WebGPU it works on the CPU and says why", async () => {
  const plain = await launch({ webgpu: false });
  try {
    const { page, complaints, close } = await open(plain, url);
    await classified(page);
    await page.waitForFunction(() => document.getElementById("engine")?.textContent?.includes("No WebGPU:"));
    expect(await page.isDisabled("#backend-switch input[value=webgpu]")).toBe(true);
    await page.click('.sample[data-label="5"]');
    await answers(page, 5);
    expect(complaints).toEqual([]);
    await close();
  } finally {
    await plain.close();
  }
});
