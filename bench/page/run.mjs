// The page of serve.mjs: the tasks of table.mjs in frames of this browser, with the tables of `make bench`.
import { section } from "/bench/lib/report.mjs";
import { disagreement, FIRST_STEPS, jobOf, resultOf, rowsOf, SLOW_MS, tuning } from "/bench/lib/task.mjs";
import { ENGINES, TASKS } from "/bench/table.mjs";

const [form, list, status, output] = ["form", "fieldset", "[role=status]", "pre"].map((s) => document.querySelector(s));
// A start is measured from a navigation without caches, which a page cannot do to itself.
const tasks = Object.entries(TASKS).filter(([, t]) => t.kind !== "start");
for (const [id, { title }] of tasks) {
  const label = document.createElement("label"),
    box = Object.assign(document.createElement("input"), { type: "checkbox", name: "task", value: id });
  box.checked = id === "lenet5-infer";
  label.append(box, ` ${title}`);
  list.append(label);
}

/** A frame with page.mjs in it, told how many cores there are where an engine needs that. */
async function frameOf({ cores }) {
  const frame = document.createElement("iframe");
  frame.src = "index.html";
  const loaded = new Promise((resolve) => frame.addEventListener("load", resolve, { once: true }));
  document.body.append(frame);
  await loaded;
  if (cores)
    Object.defineProperty(frame.contentWindow.Navigator.prototype, "hardwareConcurrency", { get: () => cores });
  return frame;
}

async function first(task, row, bench) {
  if (task.kind !== "train") {
    row.output = await bench.logits();
    return;
  }
  const { losses, ms } = await bench.steps(FIRST_STEPS);
  row.output = losses;
  if (Math.min(...ms) > SLOW_MS) row.samples = ms.slice(1);
}

function failed(row, error) {
  row.error = String(error?.message ?? error).split("\n")[0];
  delete row.output;
  delete row.samples;
}

async function attempt(row, what, work) {
  if (row.error) return;
  status.textContent = `${row.label}: ${what}`;
  try {
    await work();
  } catch (error) {
    failed(row, error);
  }
}

async function run(id, task) {
  status.textContent = `${task.title}: waiting for the model files`;
  const response = await fetch(`/reference/${id}`);
  if (!response.ok) throw new Error(await response.text());
  const reference = await response.json(),
    rows = rowsOf(task),
    frames = new Map(),
    groups = new Map();
  const benchOf = (row) => frames.get(row).contentWindow.bench;
  try {
    for (const row of rows)
      await attempt(row, "opening", async () => {
        frames.set(row, await frameOf(ENGINES[row.id]));
        row.info = await benchOf(row).open(jobOf(task, row.id, reference));
        await first(task, row, benchOf(row));
      });
    for (const row of disagreement(task, rows, reference).wrong) failed(row, "its answers differ");
    const live = rows.filter((row) => row.output && !row.samples);
    for (const row of live)
      await attempt(row, "warming up", async () => groups.set(row, await benchOf(row).prepare(tuning(task))));
    for (let round = 1; round <= task.rounds; round++)
      for (const row of live)
        await attempt(row, `round ${round} of ${task.rounds}`, async () => {
          const samples = await benchOf(row).samples({ group: groups.get(row), seconds: task.seconds });
          row.samples = [...(row.samples ?? []), ...samples];
        });
    for (const row of rows.filter((r) => r.output)) row.memory = benchOf(row).memory();
  } finally {
    for (const frame of frames.values()) frame.remove();
  }
  return section(resultOf(id, task, rows, reference)).join("\n");
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const chosen = new FormData(form).getAll("task"),
    button = form.querySelector("button");
  button.disabled = true;
  output.textContent = `${navigator.userAgent}, ${navigator.hardwareConcurrency} cores\n`;
  for (const [id, task] of tasks.filter(([id]) => chosen.includes(id))) {
    const text = await run(id, task).catch((error) => `### ${task.title}\n\n${error.message}`);
    output.textContent += `\n${text}\n`;
  }
  status.textContent = "Done.";
  button.disabled = false;
});
