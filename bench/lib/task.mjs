// What a task asks of a page, and whether the answers agree: for run.mjs and for the page of serve.mjs.
import { ENGINES } from "../table.mjs";
import { median } from "./report.mjs";

const TOLERANCE = 1e-3; // relative to the largest logit or to the loss
const INT8_TOLERANCE = 0.1; // rounding to 8 bits adds up over the layers

/** Losses compared: the forward pass, then the update, then momentum. */
export const FIRST_STEPS = 3;

/** A training step that takes longer is timed in those that are compared. */
export const SLOW_MS = 2000;

/** What page/page.mjs's `prepare` takes. */
export const tuning = (task) =>
  task.kind === "train" ? { sampleMs: 100, warmMs: 300, maxGroup: 20 } : { sampleMs: 5, warmMs: 1000, maxGroup: 50 };

/** The engines of a task, as rows of its table. */
export const rowsOf = (task) => task.engines.map((id) => ({ id, label: ENGINES[id].label, ours: !!ENGINES[id].ours }));

/** What page/page.mjs's `open` takes. `reference`: what models/make.mjs says of the model. */
export const jobOf = (task, id, reference) => ({
  kind: task.kind === "train" ? "train" : "infer",
  model: task.model,
  file: task.int8 ? `${task.model}.int8` : task.model,
  input: reference.input,
  classes: reference.classes,
  batch: task.batch,
  learningRate: task.learningRate,
  momentum: task.momentum,
  engine: ENGINES[id].adapter,
  options: ENGINES[id].options,
  again: !!task.again,
});

/** What the report wants to know of a task that has run. */
export const resultOf = (id, task, rows, reference) => ({
  id,
  title: task.title,
  kind: task.kind,
  gflop: task.kind === "infer" ? (2 * reference.macs) / 1e9 : undefined,
  targets: task.targets ?? [],
  rows,
});

const difference = (a, b, scale) =>
  Math.max(...a.map((v, i) => (Number.isFinite(v) ? Math.abs(v - b[i]) / scale : Infinity)));

/** Fills `difference` of the rows with an output; gives the rows that are wrong, and a text that shows all. */
export function disagreement(task, rows, reference) {
  const ok = rows.filter((r) => r.output),
    peers = ok.filter((r) => !r.ours),
    judges = peers.length ? peers : ok; // losses: the peers are the referee
  const expected =
    task.kind === "train" ? judges[0]?.output.map((_, i) => median(judges.map((r) => r.output[i]))) : reference.logits;
  for (const r of ok) {
    const scale = Math.max(...expected.map(Math.abs));
    r.difference = r.output.length === expected.length ? difference(r.output, expected, scale) : Infinity;
  }
  const tolerance = task.int8 ? INT8_TOLERANCE : TOLERANCE,
    wrong = ok.filter((r) => !(r.difference <= tolerance));
  const line = (label, numbers, note = "") => {
    const first = numbers.slice(0, 6).map((v) => v?.toFixed(5));
    return `  ${label.padEnd(40)} ${first.join(" ")}${note}`;
  };
  const text = [
    `the ${task.kind === "train" ? "losses" : "logits"} differ by more than ${tolerance}`,
    line("expected", expected ?? []),
    ...ok.map((r) =>
      line(r.label, r.output, `  (${r.difference.toExponential(1)}${wrong.includes(r) ? ", WRONG" : ""})`),
    ),
  ].join("\n");
  return { wrong, text };
}
