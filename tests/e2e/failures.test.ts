// Downloads that fail in every way, and the page's messages.
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { launch } from "../support/browser.js";
import { type Fault, type Faulty, faulty } from "./faulty.js";
import { answers, classified, inState, open, text } from "./page.js";

let browser: Browser;
let server: Faulty;
beforeAll(async () => {
  browser = await launch();
  server = await faulty(inject("page"));
});
afterAll(async () => {
  await browser.close();
  await server.close();
});

const isolated = { "Cross-Origin-Resource-Policy": "same-origin" };
const faultOn =
  (name: string, fault: Fault): Fault =>
  (asked, answer) =>
    asked.url?.includes(name) ? fault(asked, answer) : false;

const html: Fault = (_, answer) => {
  answer.writeHead(200, { ...isolated, "Content-Type": "text/html" }).end("<!doctype html><title>Start</title>");
  return true;
};
const broken: Fault = (_, answer) => {
  answer.writeHead(500, isolated).end("oops");
  return true;
};
const short: Fault = (_, answer) => {
  answer.writeHead(200, { ...isolated, "Content-Type": "application/octet-stream" }).end(Buffer.alloc(1000));
  return true;
};
const cutOff: Fault = (_, answer) => {
  answer.writeHead(200, { ...isolated, "Content-Type": "application/octet-stream", "Content-Length": 60_000 });
  answer.write(Buffer.alloc(1000), () => setTimeout(() => answer.destroy(), 50));
  return true;
};
/** A little, then nothing more. */
const stalled: Fault = (_, answer) => {
  answer.writeHead(200, { ...isolated, "Content-Type": "application/octet-stream", "Content-Length": 60_000 });
  answer.write(Buffer.alloc(1000));
  return true;
};

async function error(page: Page, place: string): Promise<{ code: string | null; said: string }> {
  const box = page.locator(`#${place} .error`);
  await box.waitFor();
  return { code: await box.getAttribute("data-code"), said: (await box.textContent()) ?? "" };
}

for (const [what, fault, code, says] of [
  ["HTML", html, "html", /HTML/],
  ["HTTP 500", broken, "http", /500/],
  ["a short file", short, /format|weights|integrity|network/, /./],
  ["a broken connection", cutOff, "network", /60000|60,000|broke/],
] as const) {
  test(`${what} in place of the weights is said, and can be tried again`, async () => {
    server.fault = faultOn("lenet5-mnist", fault);
    const { page, close } = await open(browser, server.url);
    const shown = await error(page, "classify-errors");
    expect(shown.code).toMatch(code);
    expect(shown.said).toMatch(says);
    expect(await text(page, "engine")).toContain("no network yet");
    server.fault = () => false;
    await page.click('#classify-errors button:has-text("Try again")');
    await answers(page, 3);
    await close();
  });
}

test("HTML in place of the engine is said", async () => {
  server.fault = faultOn(".wasm", html);
  const { page, close } = await open(browser, server.url);
  const shown = await error(page, "classify-errors");
  expect(shown.code).toBe("html");
  await close();
});

test("the download of the weights shows its bytes and can be cancelled", async () => {
  server.fault = faultOn("lenet5-mnist", stalled);
  const { page, close } = await open(browser, server.url);
  const wait = page.locator("#classify-waits .wait");
  await wait.waitFor();
  await page.waitForFunction(() =>
    document.querySelector("#classify-waits .wait-text")?.textContent?.includes("of 60 kB"),
  );
  await wait.locator("button").click();
  expect((await error(page, "classify-errors")).code).toBe("aborted");
  server.fault = () => false;
  await page.click('#classify-errors button:has-text("Try again")');
  await answers(page, 3);
  await close();
});

test("the download of the digits can be cancelled, and started again", async () => {
  server.fault = faultOn("mnist-train.bin", stalled);
  const { page, close } = await open(browser, server.url);
  await classified(page);
  await page.click("#start");
  const wait = page.locator("#train-waits .wait");
  await wait.waitFor();
  await page.waitForFunction(() =>
    document.querySelector("#train-waits .wait-text")?.textContent?.match(/ of 7\.[89] MB/),
  );
  await wait.locator("button").click();
  await inState(page, "idle");
  server.fault = () => false;
  await page.click("#start");
  await inState(page, "training");
  await close();
});

for (const [what, fault, code] of [
  ["HTML", html, "html"],
  ["HTTP 500", broken, "http"],
  ["a short file", short, "network"],
] as const) {
  test(`${what} in place of the digits is said`, async () => {
    server.fault = faultOn("mnist-train.bin", fault);
    const { page, close } = await open(browser, server.url);
    await classified(page);
    await page.click("#start");
    expect((await error(page, "train-errors")).code).toBe(code);
    await inState(page, "failed");
    await close();
  });
}

test("a file that is no network is refused, and the present network stays", async () => {
  server.fault = () => false;
  const { page, close } = await open(browser, server.url);
  await classified(page);
  await page.setInputFiles("#file", {
    name: "notes.safetensors",
    mimeType: "",
    buffer: Buffer.from("not a network at all"),
  });
  const shown = await error(page, "network-errors");
  expect(shown.said).toContain("notes.safetensors");
  expect(shown.code).toBeTruthy();
  await page.click('.sample[data-label="4"]');
  await answers(page, 4);
  await close();
});
