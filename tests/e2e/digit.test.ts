// The preparation of drawings, without a browser.
import { expect, test } from "vitest";
import { prepare } from "../../www/src/digit.js";
import { heldOut } from "./page.js";

function paper(size: number) {
  const data = new Uint8Array(size * size);
  return {
    width: size,
    height: size,
    data,
    rectangle(left: number, top: number, right: number, bottom: number) {
      for (let y = top; y < bottom; y++) data.fill(255, y * size + left, y * size + right);
    },
  };
}

test("an empty drawing is no digit", () => {
  expect(prepare(paper(280))).toBeUndefined();
});

test("a drawing fills 20 pixels of its longer side, its centre of mass in the middle", () => {
  const drawing = paper(280);
  drawing.rectangle(10, 20, 50, 120);
  const pixels = prepare(drawing)!;
  const inked = [...pixels.keys()].filter((i) => pixels[i]! > 0);
  const rows = inked.map((i) => Math.floor(i / 28));
  const columns = inked.map((i) => i % 28);
  expect([Math.min(...rows), Math.max(...rows)]).toEqual([5, 24]);
  expect([Math.min(...columns), Math.max(...columns)]).toEqual([11, 18]);
  expect(pixels[14 * 28 + 14]).toBe(255);
});

test("edges are antialiased", () => {
  const drawing = paper(281);
  drawing.rectangle(33, 40, 71, 247);
  const values = new Set(prepare(drawing));
  expect([...values].some((v) => v > 0 && v < 255)).toBe(true);
});

test("digits of MNIST, drawn large, come out as they were", () => {
  const differences = heldOut()
    .slice(0, 100)
    .map(({ pixels }) => {
      const drawing = paper(280);
      for (let y = 0; y < 280; y++) {
        for (let x = 0; x < 280; x++) drawing.data[y * 280 + x] = pixels[Math.floor(y / 10) * 28 + Math.floor(x / 10)]!;
      }
      const prepared = prepare(drawing)!;
      const difference = prepared.reduce((sum, v, i) => sum + Math.abs(v - pixels[i]!), 0);
      return difference / pixels.reduce((sum, v) => sum + v, 0);
    });
  expect(Math.max(...differences)).toBeLessThan(0.02);
});
