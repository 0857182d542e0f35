// Steps that the tests of the page share.
import { readFileSync } from "node:fs";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";

export interface Opened {
  page: Page;
  /** Errors and warnings of the console, uncaught errors, violations of the policy. */
  complaints: string[];
  close(): Promise<void>;
}

/** A fresh profile with nothing cached. */
export async function open(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Opened> {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.exposeFunction("violated", (text: string) => complaints.push(text));
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      const report = (globalThis as unknown as { violated(text: string): void }).violated;
      report(`policy: ${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  await page.goto(url);
  return { page, complaints, close: () => context.close() };
}

/** Waits until a digit has been classified. */
export async function classified(page: Page): Promise<void> {
  await page.waitForFunction(() => performance.getEntriesByName("convoke:first-classification").length > 0);
}

export const text = async (page: Page, id: string): Promise<string> => (await page.textContent(`#${id}`)) ?? "";

export async function number(page: Page, id: string): Promise<number> {
  return Number((await text(page, id)).replace(/[,%\s]/g, ""));
}

/** Waits until the page answers this digit. */
export async function answers(page: Page, digit: number): Promise<void> {
  await page.waitForFunction(
    (wanted) => document.getElementById("answer-text")?.textContent?.startsWith(`It is ${wanted}:`),
    digit,
    { timeout: 20_000 },
  );
}

/** Waits until the answer belongs to the current drawing, and returns it. */
export async function settled(page: Page): Promise<string> {
  await page.waitForSelector("#answer[aria-busy=false]");
  return text(page, "answer");
}

export async function switchTo(page: Page, backend: "cpu" | "webgpu"): Promise<void> {
  await page.check(`#backend-switch input[value=${backend}]`, { force: true });
  const name = backend === "cpu" ? "CPU" : "WebGPU";
  await page.waitForFunction((n) => document.getElementById("engine")?.textContent?.startsWith(n), name);
}

/** Starts training and waits for `steps` steps; returns the first loss shown and the last. */
export async function trainFor(page: Page, steps: number): Promise<{ first: number; last: number }> {
  // Seen from within the page: from outside, a quick run is many steps further when it is asked.
  const first = page.evaluate(
    () =>
      new Promise<number>((resolve) => {
        const figure = document.getElementById("figure-loss")!;
        const observer = new MutationObserver(() => {
          const loss = Number.parseFloat(figure.textContent ?? "");
          if (Number.isNaN(loss)) return; // emptied at the start
          observer.disconnect();
          resolve(loss);
        });
        observer.observe(figure, { childList: true, characterData: true, subtree: true });
      }),
  );
  await page.click("#start");
  await atStep(page, steps);
  return { first: await first, last: await number(page, "figure-loss") };
}

export async function atStep(page: Page, step: number, timeout = 110_000): Promise<void> {
  await page.waitForFunction(
    (wanted) => Number(document.getElementById("figure-step")?.textContent?.replace(",", "")) >= wanted,
    step,
    { timeout, polling: 20 },
  );
}

export async function inState(page: Page, state: string): Promise<void> {
  await page.waitForSelector(`#train-state[data-state=${state}]`, { timeout: 60_000 });
}

/** Draws through these points of the pad, given in its own 280x280. */
export async function stroke(page: Page, points: [number, number][]): Promise<void> {
  const box = await page.locator("#pad").boundingBox();
  if (!box) throw new Error("the pad is not visible");
  const at = ([x, y]: [number, number]) => [box.x + x, box.y + y] as const;
  await page.mouse.move(...at(points[0]!));
  await page.mouse.down();
  for (const point of points) await page.mouse.move(...at(point), { steps: 2 });
  await page.mouse.up();
}

export interface HeldOut {
  label: number;
  pixels: Uint8Array;
}

/** Digits that the network was not trained on. */
export function heldOut(): HeldOut[] {
  const bytes = readFileSync(new URL("../../www/public/data/mnist-heldout.bin", import.meta.url));
  const count = bytes.length / 785;
  return Array.from({ length: count }, (_, i) => ({
    label: bytes[count * 784 + i]!,
    pixels: bytes.subarray(i * 784, (i + 1) * 784),
  }));
}
