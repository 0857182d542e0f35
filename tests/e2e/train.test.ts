import { readFileSync } from "node:fs";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { launch } from "../support/browser.js";
import { atStep, classified, inState, number, open, settled, text, trainFor } from "./page.js";

let browser: Browser;
const url = inject("page");
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());

for (const backend of ["cpu", "webgpu"] as const) {
  test(`halves the loss within 100 steps on ${backend}`, async () => {
    const { page, complaints, close } = await open(browser, url);
    await classified(page);
    await page.selectOption("#train-backend", backend);
    await page.fill("#batch-size", backend === "cpu" ? "32" : "8");
    const { first, last } = await trainFor(page, 100);
    expect(first).toBeGreaterThan(1.9);
    expect(last).toBeLessThan(first / 2);
    await page.click("#stop");
    await inState(page, "stopped");
    expect(complaints).toEqual([]);
    await close();
  });
}

test("pauses, resumes, and takes a new batch size and learning rate while running", async () => {
  const { page, complaints, close } = await open(browser, url);
  await classified(page);
  await page.fill("#epochs", "100");
  await page.click("#start");
  await atStep(page, 5);
  await page.click("#pause");
  await inState(page, "paused");
  await page.waitForTimeout(1000); // the step that was running
  const held = await number(page, "figure-step");
  await page.waitForTimeout(500);
  expect(await number(page, "figure-step")).toBe(held);
  await page.click("#pause");
  await inState(page, "training");
  await atStep(page, held + 5);

  expect(await page.isDisabled("#seed")).toBe(true);
  await page.fill("#batch-size", "8");
  await page.press("#batch-size", "Tab");
  await page.fill("#learning-rate", "0.005");
  await page.press("#learning-rate", "Tab");
  const changed = await number(page, "figure-step");
  await atStep(page, changed + 20);
  // Refused values are said, and do not stop the run.
  await page.fill("#batch-size", "0");
  await page.press("#batch-size", "Tab");
  await atStep(page, changed + 40);
  await page.click("#stop");
  await inState(page, "stopped");
  expect(complaints).toEqual([]);
  await close();
});

test("judges each epoch by the held-out digits, then classifies with what it learnt, saves and loads it", async () => {
  const { page, complaints, close } = await open(browser, url);
  await classified(page);
  await page.fill("#epochs", "1");
  await page.click("#start");
  await inState(page, "done");
  expect(await number(page, "figure-heldout")).toBeGreaterThan(85);
  const matrix = await page
    .locator("#confusion tr")
    .evaluateAll((rows) => rows.map((row) => [...row.querySelectorAll("td")].map((cell) => Number(cell.textContent))));
  const right = matrix.reduce((sum, row, i) => sum + row[i]!, 0);
  expect(matrix.flat().reduce((sum, n) => sum + n)).toBe(1000);
  expect(right / 10).toBeCloseTo(await number(page, "figure-heldout"), 5);
  expect(await text(page, "mistakes-title")).toMatch(new RegExp(`^${1000 - right} of 1,000 held-out images taken`));
  expect(await page.locator("#mistakes li").count()).toBe(Math.min(1000 - right, 24));
  // Charts are drawn, and described, a moment after what they show.
  await page.waitForSelector('#accuracy-chart[aria-label*="held out"]');

  await page.click("#use");
  await page.waitForFunction(() => document.getElementById("network-line")?.textContent?.includes("trained here for"));
  const answer = await answerFor(2);

  for (const [button, most] of [
    ["save", 260_000],
    ["save-int8", 70 * 1024],
  ] as const) {
    const [download] = await Promise.all([page.waitForEvent("download"), page.click(`#${button}`)]);
    const path = await download.path();
    expect(readFileSync(path).length).toBeLessThan(most);
    await page.setInputFiles("#file", { name: `${button}.safetensors`, mimeType: "", buffer: readFileSync(path) });
    await page.waitForFunction(
      (name) => document.getElementById("network-line")?.textContent?.includes(`${name}.safetensors`),
      button,
    );
    const again = await answerFor(2);
    if (button === "save") expect(again).toBe(answer);
    else expect(again.split(":")[0]).toBe(answer.split(":")[0]);
  }
  await page.click("#shipped");
  await page.waitForFunction(() => document.getElementById("network-line")?.textContent?.includes("shipped"));
  expect(complaints).toEqual([]);
  await close();

  async function answerFor(digit: number): Promise<string> {
    await page.click("#clear");
    expect(await settled(page)).toBe("–");
    await page.click(`.sample[data-label="${digit}"]`);
    expect(await settled(page)).toBe(String(digit));
    return text(page, "answer-text");
  }
});

test("trains with another optimizer, a schedule and moved digits, and says the learning rate of the step", async () => {
  const { page, complaints, close } = await open(browser, url);
  await classified(page);
  await page.selectOption("#optimizer", "adamw");
  expect(await page.inputValue("#learning-rate")).toBe("0.001");
  await page.selectOption("#schedule", "one-cycle");
  await page.selectOption("#augment", "move");
  await page.fill("#epochs", "1");
  await page.click("#start");
  await atStep(page, 5);
  expect(await number(page, "figure-rate")).toBeGreaterThan(0.00003);
  expect(await page.isDisabled("#schedule")).toBe(true);
  await inState(page, "done");
  expect(await number(page, "figure-rate")).toBeLessThan(0.00001);
  expect(await number(page, "figure-heldout")).toBeGreaterThan(80);
  expect(complaints).toEqual([]);
  await close();
});

test("the same seed gives the same losses", async () => {
  const losses: string[] = [];
  for (let run = 0; run < 2; run++) {
    const { page, close } = await open(browser, `${url}?threads=1`);
    await classified(page);
    await page.fill("#seed", "7");
    await page.fill("#epochs", "1");
    await page.click("#start");
    await inState(page, "done");
    losses.push(await text(page, "figure-loss"));
    await close();
  }
  expect(losses[0]).toBe(losses[1]);
});

test("nothing of the engine runs on the page's own thread, so training cannot hold it up", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.addInitScript(() => {
    const started: string[] = [];
    Object.assign(globalThis, { started });
    for (const name of ["instantiate", "instantiateStreaming"] as const) {
      const original = WebAssembly[name] as (...given: unknown[]) => unknown;
      const watched = (...given: unknown[]) => {
        started.push(name);
        return original(...given);
      };
      Object.assign(WebAssembly, { [name]: watched });
    }
  });
  await page.goto(url);
  await classified(page);
  await page.click("#start");
  await atStep(page, 5);
  expect(await page.evaluate(() => (globalThis as unknown as { started: string[] }).started)).toEqual([]);
  await context.close();
});

test("after a crash of the worker it goes on from the checkpoint", async () => {
  const { page, close } = await open(browser, url);
  await classified(page);
  await page.fill("#epochs", "100");
  await page.click("#start");
  await atStep(page, 120);
  for (const worker of page.workers()) {
    const crash = worker.evaluate(() => {
      setTimeout(() => {
        throw new Error("a crash, as a test");
      });
    });
    await crash.catch(() => {}); // The threads go with the worker that started them.
  }
  await page.waitForSelector('#train-errors [data-code="worker-crashed"]');
  await inState(page, "failed");
  const before = await number(page, "figure-step");
  await page.click('#train-errors button:has-text("Continue")');
  await inState(page, "training");
  await atStep(page, before + 50);
  // The classifier is back as well.
  await page.click('.sample[data-label="0"]');
  await page.waitForFunction(() => document.getElementById("answer-text")?.textContent?.startsWith("It is 0:"));
  await close();
});
