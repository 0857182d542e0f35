#!/usr/bin/env node
// Side-by-side benchmark: Convoke and its peers in one Chromium, in turn. bench/README.md says what is measured.
import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { otherCores, snapshot } from "./lib/quiet.mjs";
import { document, markdown, median } from "./lib/report.mjs";
import { ROUTES, serve } from "./lib/server.mjs";
import { sizes } from "./lib/sizes.mjs";
import { disagreement, FIRST_STEPS, jobOf, resultOf, rowsOf, SLOW_MS, tuning } from "./lib/task.mjs";
import { make } from "./models/make.mjs";
import { installed, PEERS_ROOT, setup, WANTED } from "./setup.mjs";
import { ENGINES, TASKS } from "./table.mjs";

const HERE = path.dirname(fileURLToPath(import.meta.url)),
  ROOT = path.dirname(HERE);
const LATE_MINUTES = 16; // after which each remaining task has one round only
const LIMIT_SECONDS = 240; // for one call into a page

const { values: args } = parseArgs({
  options: {
    tasks: { type: "string" },
    engines: { type: "string" },
    rounds: { type: "string" },
    out: { type: "string", default: "latest" },
    peers: { type: "boolean" },
    docs: { type: "boolean" },
    list: { type: "boolean" },
    verbose: { type: "boolean" },
    help: { type: "boolean" },
  },
});
if (args.help) {
  console.log(
    "node bench/run.mjs [--tasks a,b] [--engines a,b] [--rounds n] [--peers (without Convoke)] [--docs (write docs/benchmarks.md)] [--out name] [--list] [--verbose]",
  );
  process.exit(0);
}
if (args.list) {
  for (const [id, t] of Object.entries(TASKS))
    console.log(`${id.padEnd(22)} ${t.title}\n${" ".repeat(23)}${t.engines.join(" ")}`);
  process.exit(0);
}
const fail = (message) => {
  console.error(`bench: ${message}`);
  process.exit(1);
};
const pick = (list, all, name) => {
  for (const id of list) if (!(id in all)) fail(`no ${name} '${id}'; there are ${Object.keys(all).join(", ")}`);
  return list;
};
const taskIds = pick(args.tasks?.split(",") ?? Object.keys(TASKS), TASKS, "task");
const engineIds = pick(args.engines?.split(",") ?? Object.keys(ENGINES), ENGINES, "engine").filter(
  (id) => !(args.peers && ENGINES[id].ours),
);
const PACKAGE = path.join(ROOT, "pkg", "npm");
if (engineIds.some((id) => ENGINES[id].ours) && !fs.existsSync(path.join(PACKAGE, "dist", "index.js"))) {
  fail("pkg/npm/dist/index.js is not there: build the package first, or measure the peers alone with --peers");
}

// ------------------------------------------------------------------ browser and pages
setup();
const { chromium } = createRequire(path.join(PEERS_ROOT, "package.json"))("playwright-core");
const onPath = (name) =>
  (process.env.PATH || "")
    .split(path.delimiter)
    .map((d) => path.join(d, name))
    .find((f) => fs.existsSync(f));
const executablePath =
  process.env.CHROMIUM ||
  ["chromium", "chromium-browser", "google-chrome"].map(onPath).find(Boolean) ||
  fail("no Chromium on PATH; set CHROMIUM to one");
const browser = await chromium.launch({
  executablePath,
  headless: true,
  args: [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--enable-unsafe-swiftshader",
  ],
});

/** A page of its own context (nothing shared or cached) on a server of its own. */
async function newPage(engine, query = "", cacheable = false) {
  const server = await serve(ROUTES, { cacheable }),
    context = await browser.newContext(),
    page = await context.newPage(),
    log = [];
  page.on("console", (m) => {
    if (args.verbose) console.error(`  [${engine.label}] ${m.text().slice(0, 500)}`);
  });
  page.on("pageerror", (e) => log.push(String(e)));
  if (engine.cores)
    await page.addInitScript(
      (n) => Object.defineProperty(Navigator.prototype, "hardwareConcurrency", { get: () => n }),
      engine.cores,
    );
  await page.goto(`${server.origin}/page/index.html${query}`);
  return {
    page,
    server,
    log,
    close: async () => {
      await context.close();
      server.close();
    },
  };
}

function limited(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took over ${LIMIT_SECONDS} s`)), LIMIT_SECONDS * 1000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// ------------------------------------------------------------------ outputs first
/** Fills row.difference; an engine that disagrees has failed and is not timed: times of other answers say nothing. */
function agree(task, rows, reference) {
  const { wrong, text } = disagreement(task, rows, reference);
  if (wrong.length) console.error(`bench: ${text}`);
  for (const r of wrong) failed(r, new Error(`answers differ by ${r.difference.toExponential(1)}`));
}

// ------------------------------------------------------------------ tasks
async function sideBySide(task, rows, job) {
  const pages = new Map();
  try {
    for (const r of rows) {
      try {
        const p = await newPage(ENGINES[r.id]);
        pages.set(r, p);
        await p.page.waitForFunction("!!window.bench");
        r.info = await limited(
          p.page.evaluate((j) => window.bench.open(j), job(r)),
          "opening",
        );
        if (task.kind === "train") {
          const first = p.page.evaluate((n) => window.bench.steps(n), FIRST_STEPS);
          const { losses, ms } = await limited(first, "the first steps");
          r.output = losses;
          if (Math.min(...ms) > SLOW_MS) r.samples = ms.slice(1);
        } else {
          r.output = await limited(
            p.page.evaluate(() => window.bench.logits()),
            "the first run",
          );
        }
        r.download = [...p.server.fetched];
        console.error(
          `bench:   ${r.label}: ready, ${JSON.stringify(r.info)}${task.kind === "train" ? `, losses ${r.output.map((v) => v.toFixed(4)).join(" ")}` : ""}`,
        );
      } catch (e) {
        failed(r, e, pages.get(r));
      }
    }
    agree(task, rows, job.reference);
    const live = rows.filter((r) => r.output && !r.samples),
      groups = new Map(),
      idle = new Map(live.map((r) => [r, []]));
    for (const r of live) {
      try {
        const warm = pages.get(r).page.evaluate((t) => window.bench.prepare(t), tuning(task));
        groups.set(r, await limited(warm, "warming up"));
      } catch (e) {
        failed(r, e, pages.get(r));
      }
    }
    for (let round = 0; round < job.rounds; round++) {
      for (const r of live.filter((q) => !q.error)) {
        try {
          const { page } = pages.get(r),
            before = snapshot();
          const s = await limited(
            page.evaluate((o) => window.bench.samples(o), { group: groups.get(r), seconds: task.seconds }),
            "a round",
          );
          idle.get(r).push(otherCores(before, snapshot()));
          r.samples ??= [];
          r.samples.push(...s);
          if (args.verbose)
            console.error(`bench:   round ${round + 1} ${r.label}: min ${Math.min(...s).toFixed(3)} ms of ${s.length}`);
        } catch (e) {
          failed(r, e, pages.get(r));
        }
      }
    }
    for (const r of live.filter((q) => !q.error)) {
      r.group = groups.get(r);
      const o = idle.get(r).filter((v) => v != null);
      r.other = o.length ? median(o) : null;
    }
    for (const r of rows.filter((q) => q.output)) {
      const read = pages.get(r).page.evaluate(() => window.bench.memory());
      r.memory = await limited(read, "reading the memory").catch(() => null); // it may have just crashed
    }
  } finally {
    for (const p of pages.values()) await p.close().catch(() => {});
  }
}

async function start(task, rows, job) {
  for (let round = 0; round < job.rounds; round++) {
    for (const r of rows.filter((q) => !q.error)) {
      let p;
      try {
        p = await newPage(ENGINES[r.id], `?start=${encodeURIComponent(JSON.stringify(job(r)))}`, task.again);
        const answer = async () => {
          await p.page.waitForFunction("!!window.started");
          return limited(
            p.page.evaluate(() => window.started),
            "starting",
          );
        };
        const first = await answer();
        // A second visit finds what the browser, or the engine, kept of the first.
        if (task.again) await p.page.reload();
        const { ms, info, logits } = task.again ? await answer() : first;
        r.samples ??= [];
        r.samples.push(ms);
        Object.assign(r, { output: logits, info, download: [...p.server.fetched] });
      } catch (e) {
        failed(r, e, p);
      }
      await p?.close();
    }
  }
  agree(task, rows, job.reference);
}

function failed(row, error, page) {
  row.error = [
    String(error.message || error)
      .split("\n")
      .slice(0, 2)
      .join(" "),
    ...(page?.log || []),
  ]
    .join(" | ")
    .slice(0, 600);
  delete row.output;
  delete row.samples;
  console.error(`bench:   ${row.label}: failed: ${row.error}`);
  process.exitCode = 1;
}

// ------------------------------------------------------------------ the run
const manifest = path.join(PACKAGE, "package.json");
const results = {
  environment: {
    date: `${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC`,
    cpu: os.cpus()[0].model.trim(),
    cores: os.cpus().length,
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    node: process.version,
    browser: `Chromium ${browser.version()}`,
    convoke:
      fs.existsSync(manifest) && !args.peers ? JSON.parse(fs.readFileSync(manifest, "utf8")).version : "(not measured)",
    peers: Object.fromEntries(
      Object.keys(WANTED)
        .filter((n) => !["playwright-core", "flatbuffers"].includes(n))
        .map((n) => [n, installed(n)]),
    ),
  },
  tasks: [],
};
const began = Date.now();
const save = () => {
  fs.mkdirSync(path.join(HERE, "results"), { recursive: true });
  fs.writeFileSync(
    path.join(HERE, "results", `${path.basename(args.out, ".json")}.json`),
    JSON.stringify(results, null, 1),
  );
};

for (const id of taskIds) {
  const task = TASKS[id];
  const rows = rowsOf(task).filter((r) => engineIds.includes(r.id));
  if (!rows.length) continue;
  console.error(`bench: ${task.title}`);
  try {
    const reference = await make(task.model);
    const job = (row) => jobOf(task, row.id, reference);
    const late = !args.rounds && Date.now() - began > LATE_MINUTES * 60000;
    if (late) console.error(`bench:   one round only: ${LATE_MINUTES} minutes are over`);
    Object.assign(job, { reference, rounds: late ? 1 : Number(args.rounds) || task.rounds });
    results.tasks.push(resultOf(id, task, rows, reference));
    await (task.kind === "start" ? start : sideBySide)(task, rows, job);
    for (const r of rows) if (r.download) r.download = sizes(r.download, PEERS_ROOT);
  } catch (e) {
    console.error(`bench: ${e.stack}`);
    for (const r of rows.filter((q) => !q.samples && !q.error)) failed(r, e);
    process.exitCode = 1;
  }
  save();
  console.error(`bench:   ${((Date.now() - began) / 60000).toFixed(1)} minutes since the beginning`);
}
await browser.close();
process.stdout.write(markdown(results));

const whole = !args.tasks && !args.engines && !args.peers;
if (whole || args.docs) {
  fs.mkdirSync(path.join(ROOT, "docs"), { recursive: true });
  fs.writeFileSync(path.join(ROOT, "docs", "benchmarks.md"), document(results));
  console.error("bench: wrote docs/benchmarks.md");
}
