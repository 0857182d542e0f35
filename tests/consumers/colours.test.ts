// Images whose files name colours or an orientation: the pixels are the stored ones, turned, as Pillow has them.
import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launch, serve } from "../support/browser.js";
import { isolation, pack, policy, project, remove, root } from "./projects.js";

interface Pixels {
  file: string;
  width: number;
  height: number;
  rgb: number[];
}
const images = JSON.parse(readFileSync(join(root, "tests/golden/colours/colours.json"), "utf8")) as Pixels[];

const main = `import { Network } from "./node_modules/convoke/dist/index.js";
const out = document.getElementById("out");
const element = async (url) => {
  const image = new Image();
  image.src = url;
  await image.decode();
  return image;
};
const sources = {
  blob: async (url) => (await fetch(url)).blob(),
  img: element,
};
/** The logits of an image, as far from the logits of its pixels as a share of the largest. */
const answer = async () => {
  const net = await Network.create("resnet20", { seed: 1, backend: "cpu" });
  const said = {};
  for (const { file, width, height, rgb } of await (await fetch("./colours/colours.json")).json()) {
    const data = new Uint8Array(4 * width * height).fill(255);
    for (let i = 0; i < width * height; i++) data.set(rgb.slice(3 * i, 3 * i + 3), 4 * i);
    const wanted = (await net.run({ data, width, height })).data;
    const largest = Math.max(...wanted.map(Math.abs));
    for (const [name, source] of Object.entries(sources)) {
      const got = (await net.run(await source("./colours/" + file))).data;
      said[name + " " + file] = Math.max(...got.map((v, i) => Math.abs(v - wanted[i]))) / largest;
    }
  }
  return said;
};
answer().then((said) => { out.textContent = JSON.stringify(said); }, (error) => { out.textContent = "failed: " + error; });
`;

let base: string;
let browser: Browser;
beforeAll(async () => {
  base = pack();
  browser = await launch();
});
afterAll(async () => {
  await browser?.close();
  remove(base);
});

test("colour profiles, gamma and orientations change no pixel, from files and from elements", async () => {
  const folder = project(base, "colours", main);
  cpSync(join(root, "tests/golden/colours"), join(folder, "colours"), { recursive: true });
  const server = await serve(folder, { ...isolation, ...policy });
  const page = await browser.newPage();
  try {
    await page.goto(server.url);
    await page.waitForFunction(() => document.getElementById("out")?.textContent, undefined, { timeout: 60_000 });
    const text = (await page.textContent("#out")) ?? "";
    expect(text).not.toContain("failed");
    const errors = JSON.parse(text) as Record<string, number>;
    expect(Object.keys(errors).length).toBe(2 * images.length);
    // An element shows a turned WebP file as the browser does, which ignores its EXIF data; a file is turned.
    for (const name of Object.keys(errors)) if (/^img turned.*\.webp$/.test(name)) delete errors[name];
    // Decoders of JPEG round in their own ways.
    const wrong = Object.entries(errors).filter(([name, error]) => error > (name.endsWith(".jpeg") ? 0.02 : 1e-5));
    expect(wrong).toEqual([]);
  } finally {
    await page.close();
    await server.close();
  }
});
