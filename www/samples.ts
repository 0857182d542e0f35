// Puts a few held-out digits into the page itself, so that it can show some before anything else is fetched.
import { readFileSync } from "node:fs";
import type { Plugin } from "vite";

const SIDE = 28;
const SETS = 3; // of one digit of each class

/** The module `virtual:samples`, read from what `make digits` wrote into public/data. */
export function samples(folder: string): Plugin {
  return {
    name: "samples",
    resolveId: (id) => (id === "virtual:samples" ? `\0${id}` : undefined),
    load: (id) => (id === "\0virtual:samples" ? `export default ${JSON.stringify(choose(folder))};` : undefined),
  };
}

function choose(folder: string) {
  const bytes = readHeldOut(folder);
  const count = bytes.length / (SIDE * SIDE + 1);
  const labels = bytes.subarray(count * SIDE * SIDE);
  const chosen: { label: number; pixels: string }[][] = Array.from({ length: SETS }, () => []);
  for (let index = 0; index < count; index++) {
    const label = labels[index]!;
    const set = chosen.find((s) => !s.some((digit) => digit.label === label));
    const pixels = bytes.subarray(index * SIDE * SIDE, (index + 1) * SIDE * SIDE).toString("base64");
    set?.push({ label, pixels });
  }
  return chosen.flatMap((set) => set.sort((a, b) => a.label - b.label));
}

function readHeldOut(folder: string): Buffer {
  try {
    return readFileSync(`${folder}/mnist-heldout.bin`);
  } catch (cause) {
    throw new Error("the digits are not there: run 'make digits' first", { cause });
  }
}
