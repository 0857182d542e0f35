// Keyboard, names for screen readers, small screens.
import { type Browser, devices, type Page } from "playwright-core";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { launch } from "../support/browser.js";
import { answers, atStep, classified, inState, open, text } from "./page.js";

let browser: Browser;
const url = inject("page");
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());

const focused = (page: Page) => page.evaluate(() => document.activeElement?.id || document.activeElement?.className);

async function tabTo(page: Page, id: string): Promise<void> {
  for (let presses = 0; presses < 40; presses++) {
    if ((await focused(page)) === id) return;
    await page.keyboard.press("Tab");
  }
  throw new Error(`Tab never reaches ${id}`);
}

test("everything can be done by keyboard", async () => {
  const { page, complaints, close } = await open(browser, url);
  await classified(page);
  await tabTo(page, "sample");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Enter");
  await answers(page, 2);
  await page.keyboard.press("End");
  await page.keyboard.press("Space");
  await page.waitForFunction(() => document.activeElement?.getAttribute("data-label") === "9");
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement as Element).outlineStyle);
  expect(outline).toBe("solid");

  await tabTo(page, "batch-size");
  await page.keyboard.press("Control+A");
  await page.keyboard.type("16");
  await tabTo(page, "start");
  await page.keyboard.press("Enter");
  await atStep(page, 5);
  await tabTo(page, "pause");
  await page.keyboard.press("Space");
  await inState(page, "paused");
  await tabTo(page, "use");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.getElementById("network-line")?.textContent?.includes("trained here"));
  expect(complaints).toEqual([]);
  await close();
});

test("every control has a name, every id is used once, and the answer is announced", async () => {
  const { page, close } = await open(browser, url);
  await classified(page);
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll<HTMLElement>("button, input, select, canvas, progress, [role=meter], [role=img]")]
      .filter((e) => {
        const labels = "labels" in e ? [...((e.labels as NodeListOf<HTMLElement> | null) ?? [])] : [];
        const name = e.ariaLabel || e.textContent || labels.map((l) => l.textContent).join("");
        const hidden = e.closest("[hidden]") || (e.tagName === "CANVAS" && e.closest("button, .chart"));
        return !hidden && !name?.trim();
      })
      .map((e) => e.outerHTML.slice(0, 100)),
  );
  expect(nameless).toEqual([]);
  const twice = await page.evaluate(() => {
    const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
    return ids.filter((id, i) => ids.indexOf(id) !== i);
  });
  expect(twice).toEqual([]);
  expect(await page.getAttribute("#answer-text", "aria-live")).toBe("polite");
  const meters = page.locator("#bars [role=meter]");
  expect(await meters.count()).toBe(10);
  const values = await meters.evaluateAll((all) => all.map((m) => Number(m.getAttribute("aria-valuenow"))));
  expect(values.reduce((a, b) => a + b)).toBeCloseTo(1, 2);
  expect(await page.getAttribute("html", "lang")).toBe("en");
  await close();
});

test("text has enough contrast, light and dark", async () => {
  for (const colorScheme of ["light", "dark"] as const) {
    const { page, close } = await open(browser, url, { colorScheme });
    await classified(page);
    const poor = await page.evaluate(() => {
      const parse = (colour: string) => (colour.match(/[\d.]+/g) ?? []).map(Number);
      const luminance = (rgb: number[]) => {
        const [r, g, b] = rgb.map((v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
      };
      const background = (e: Element | null): number[] => {
        if (!e) return [255, 255, 255];
        const [r, g, b, a = 1] = parse(getComputedStyle(e).backgroundColor);
        return a > 0.99 ? [r!, g!, b!] : background(e.parentElement);
      };
      return [
        ...document.querySelectorAll<HTMLElement>(
          "p, h1, h2, h3, dt, dd, label, button, th, td, a, output, .key, .engine",
        ),
      ]
        .filter((e) => e.offsetParent && !e.matches(":disabled, .skip") && e.textContent?.trim())
        .map((e) => {
          const [front, back] = [luminance(parse(getComputedStyle(e).color).slice(0, 3)), luminance(background(e))];
          const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
          return { text: e.textContent?.trim().slice(0, 30), ratio };
        })
        .filter(({ ratio }) => ratio < 4.5);
    });
    expect(poor).toEqual([]);
    await close();
  }
});

test("on a phone nothing overflows, and a finger draws", async () => {
  const { page, complaints, close } = await open(browser, url, {
    ...devices["iPhone 13"],
    viewport: { width: 390, height: 844 },
  });
  await classified(page);
  const overflow = await page.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  );
  expect(overflow).toBe(0);
  await page.click("#clear");
  const box = await page.locator("#pad").boundingBox();
  const touch = await page.context().newCDPSession(page);
  const at = (y: number) => ({ touchPoints: [{ x: box!.x + 140, y: box!.y + y }] });
  await touch.send("Input.dispatchTouchEvent", { type: "touchStart", ...at(45) });
  for (let y = 50; y <= 235; y += 15) await touch.send("Input.dispatchTouchEvent", { type: "touchMove", ...at(y) });
  await touch.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
  await answers(page, 1);
  expect(await text(page, "answer")).toBe("1");
  expect(complaints).toEqual([]);
  await close();
});

test("reduced motion is respected", async () => {
  const { page, close } = await open(browser, url, { reducedMotion: "reduce" });
  await classified(page);
  const moves = await page.evaluate(() => getComputedStyle(document.querySelector(".bar-fill")!).transitionDuration);
  expect(moves).toBe("0s");
  await close();
});
