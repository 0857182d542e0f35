import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { launch } from "../support/browser.js";

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());

for (const tier of ["simd128", "relaxed", "threads"]) {
  test(`the built page runs ${tier} under the strict policy`, async () => {
    const page = await browser.newPage();
    const complaints: string[] = [];
    page.on("console", (m) => {
      if (m.type() === "error" || m.type() === "warning") complaints.push(m.text());
    });
    page.on("pageerror", (e) => complaints.push(String(e)));
    page.on("response", (r) => {
      if (r.status() >= 400) complaints.push(`${r.status()} ${r.url()}`);
    });
    const response = await page.goto(`${inject("page")}?tier=${tier}`);
    expect(response?.headers()["content-security-policy"]).toContain("default-src 'none'");
    await page.waitForFunction(() => document.getElementById("out")?.textContent, undefined, { timeout: 30_000 });
    const text = (await page.textContent("#out")) ?? "";
    expect(complaints).toEqual([]);
    const answer = JSON.parse(text);
    console.log(answer);
    expect(answer.isolated).toBe(true);
    expect(answer.tier).toContain(`atomics ${tier === "threads"}`);
    expect(answer.count).toEqual(tier === "threads" ? [1, 2, 3] : [1]);
    expect(answer.gpu).toMatch(/^\d+$/);
    await page.close();
  });
}
