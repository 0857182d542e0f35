// How the network in training does on the held-out digits: which it takes for which, and its worst mistakes.
import type { Network, TrainingData } from "convoke";
import { SIDE, toImage } from "./digit.js";
import { byId, context2d, make } from "./dom.js";
import { chance, count } from "./text.js";

const CLASSES = 10;
/** Images in one run. */
const BATCH = 250;
/** The mistakes that are shown. */
const SHOWN = 24;

interface Mistake {
  image: number;
  label: number;
  answer: number;
  /** Of the answer. */
  probability: number;
}

export interface Judgement {
  /** How many of each class (row) were taken for each class (column). */
  confusion: number[][];
  /** Those it was surest of first. */
  mistakes: Mistake[];
}

/** Runs the network over all images. */
export async function judge(network: Network, data: TrainingData): Promise<Judgement> {
  const confusion = Array.from({ length: CLASSES }, () => new Array<number>(CLASSES).fill(0));
  const mistakes: Mistake[] = [];
  for (let first = 0; first < data.shape[0]; first += BATCH) {
    const n = Math.min(BATCH, data.shape[0] - first);
    const scores = (await network.run(prepared(data, first, n, network.input))).data;
    for (let i = 0; i < n; i++) {
      const [image, own] = [first + i, scores.subarray(i * CLASSES, (i + 1) * CLASSES)];
      const label = data.labels[image]!;
      const answer = own.indexOf(Math.max(...own));
      confusion[label]![answer]!++;
      if (answer !== label) mistakes.push({ image, label, answer, probability: softmaxOf(own, answer) });
    }
  }
  mistakes.sort((a, b) => b.probability - a.probability);
  return { confusion, mistakes };
}

/** A batch as training sees it: padded with paper, then normalised. */
function prepared({ images, shape, mean, std }: TrainingData, first: number, n: number, input: number[]) {
  const [, , h, w] = shape;
  const [, height = h, width = w] = input;
  const [top, left] = [(height - h) / 2, (width - w) / 2];
  const normal = (byte: number) => (byte / 255 - (mean?.[0] ?? 0)) / (std?.[0] ?? 1);
  const data = new Float32Array(n * height * width).fill(normal(0));
  for (let row = 0; row < n * h; row++) {
    const to = (Math.floor(row / h) * height + top + (row % h)) * width + left;
    for (let x = 0; x < w; x++) data[to + x] = normal(images[(first * h + row) * w + x]!);
  }
  return { data, shape: [n, 1, height, width] };
}

function softmaxOf(scores: Float32Array, at: number): number {
  const largest = Math.max(...scores);
  return Math.exp(scores[at]! - largest) / scores.reduce((sum, v) => sum + Math.exp(v - largest), 0);
}

export function showJudgement({ confusion, mistakes }: Judgement, { images, shape }: TrainingData): void {
  byId("judged").hidden = false;
  byId("confusion").replaceChildren(...confusion.map(confusionRow));
  const all = `${count(mistakes.length)} of ${count(shape[0])} held-out digits taken for another`;
  byId("mistakes-title").textContent =
    mistakes.length > SHOWN ? `${all}, the ${SHOWN} it was surest of:` : `${all}${mistakes.length ? ":" : "."}`;
  const figures = mistakes.slice(0, SHOWN).map(({ image, label, answer, probability }) => {
    const text = `a ${label} taken for a ${answer}, ${chance(probability)}`;
    const canvas = make("canvas", { width: SIDE, height: SIDE, ariaLabel: text, title: text });
    canvas.role = "img";
    const pixels = images.subarray(image * SIDE * SIDE, (image + 1) * SIDE * SIDE) as Uint8Array;
    context2d(canvas).putImageData(toImage(pixels), 0, 0);
    return make("li", {}, canvas, make("span", { textContent: `${label} → ${answer}` }));
  });
  byId("mistakes").replaceChildren(...figures);
}

export function hideJudgement(): void {
  byId("judged").hidden = true;
}

/** A cell is the darker the larger its share of the row. */
function confusionRow(row: number[], label: number): HTMLTableRowElement {
  const total = row.reduce((sum, n) => sum + n);
  const cells = row.map((n, answer) => {
    const cell = make("td", { textContent: n === 0 ? "" : count(n) });
    cell.classList.toggle("wrong", answer !== label && n > 0);
    cell.style.setProperty("--share", `${total === 0 ? 0 : Math.round((100 * n) / total)}%`);
    return cell;
  });
  return make("tr", {}, make("th", { scope: "row", textContent: String(label) }), ...cells);
}
