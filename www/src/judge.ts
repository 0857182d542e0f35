// How the network in training does on the held-out digits: which it takes for which, and its worst mistakes.
import type { Network, TrainingData } from "convoke";
import { byId, context2d, make } from "./dom.js";
import { chance, count } from "./text.js";

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
export async function judge(network: Network, data: TrainingData, classes: number): Promise<Judgement> {
  const confusion = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  const mistakes: Mistake[] = [];
  const isLogits = network.output === "logits";
  for (let first = 0; first < data.shape[0]; first += BATCH) {
    const n = Math.min(BATCH, data.shape[0] - first);
    const scores = (await network.run(prepared(data, first, n, network.input))).data;
    for (let i = 0; i < n; i++) {
      const [image, own] = [first + i, scores.subarray(i * classes, (i + 1) * classes)];
      const label = data.labels[image]!;
      const answer = own.indexOf(Math.max(...own));
      confusion[label]![answer]!++;
      if (answer !== label)
        mistakes.push({ image, label, answer, probability: isLogits ? softmaxOf(own, answer) : own[answer]! });
    }
  }
  mistakes.sort((a, b) => b.probability - a.probability);
  return { confusion, mistakes };
}

/** A batch as training sees it: in the middle of black, then normalised. */
export function prepared({ images, shape, mean, std }: TrainingData, first: number, n: number, input: number[]) {
  const [, c, h, w] = shape;
  const [, height = h, width = w] = input;
  const [top, left] = [(height - h) / 2, (width - w) / 2];
  const data = new Float32Array(n * c * height * width);
  for (let plane = 0; plane < n * c; plane++) {
    const normal = (byte: number) => (byte / 255 - (mean?.[plane % c] ?? 0)) / (std?.[plane % c] ?? 1);
    data.fill(normal(0), plane * height * width, (plane + 1) * height * width);
    for (let y = 0; y < h; y++) {
      const to = (plane * height + top + y) * width + left;
      const from = ((first * c + plane) * h + y) * w;
      for (let x = 0; x < w; x++) data[to + x] = normal(images[from + x]!);
    }
  }
  return { data, shape: [n, c, height, width] };
}

function softmaxOf(scores: Float32Array, at: number): number {
  const largest = Math.max(...scores);
  return Math.exp(scores[at]! - largest) / scores.reduce((sum, v) => sum + Math.exp(v - largest), 0);
}

export function showJudgement({ confusion, mistakes }: Judgement, data: TrainingData, labels: string[]): void {
  byId("judged").hidden = false;
  const [total, , height, width] = data.shape;
  byId("confusion-head").replaceChildren(
    make("td"),
    ...labels.map((textContent) => make("th", { scope: "col", textContent })),
  );
  byId("confusion").replaceChildren(...confusion.map((row, i) => confusionRow(row, i, labels[i]!)));
  const all = `${count(mistakes.length)} of ${count(total)} held-out images taken for another class`;
  byId("mistakes-title").textContent =
    mistakes.length > SHOWN ? `${all}, the ${SHOWN} it was surest of:` : `${all}${mistakes.length ? ":" : "."}`;
  const figures = mistakes.slice(0, SHOWN).map(({ image, label, answer, probability }) => {
    const [from, to] = [labels[label]!, labels[answer]!];
    const text = `${from} taken for ${to}, ${chance(probability)}`;
    const canvas = make("canvas", { width, height, ariaLabel: text, title: text });
    canvas.role = "img";
    context2d(canvas).putImageData(pictureOf(data, image), 0, 0);
    return make("li", {}, canvas, make("span", { textContent: `${from} → ${to}` }));
  });
  byId("mistakes").replaceChildren(...figures);
}

/** An image of one channel or three. */
function pictureOf({ images, shape: [, c, h, w] }: TrainingData, index: number): ImageData {
  const picture = new ImageData(w, h);
  for (let i = 0; i < h * w; i++) {
    for (let k = 0; k < 3; k++) picture.data[4 * i + k] = images[(index * c + (k % c)) * h * w + i]!;
    picture.data[4 * i + 3] = 255;
  }
  return picture;
}

export function hideJudgement(): void {
  byId("judged").hidden = true;
}

/** A cell is the darker the larger its share of the row. */
function confusionRow(row: number[], label: number, name: string): HTMLTableRowElement {
  const total = row.reduce((sum, n) => sum + n);
  const cells = row.map((n, answer) => {
    const cell = make("td", { textContent: n === 0 ? "" : count(n) });
    cell.classList.toggle("wrong", answer !== label && n > 0);
    cell.style.setProperty("--share", `${total === 0 ? 0 : Math.round((100 * n) / total)}%`);
    return cell;
  });
  return make("tr", {}, make("th", { scope: "row", textContent: name }), ...cells);
}
