// Tables from a run's results. Ratios are of minima: other load on the machine can only slow a sample down.
import { RIVALS } from "../table.mjs";

export const median = (a) => {
  const s = [...a].sort((x, y) => x - y),
    m = s.length >> 1;
  return s.length % 2 ? s[m] : (s[m - 1] + s[m]) / 2;
};

const NOISY = 0.25; // cores taken by others beyond which a row should be measured again
const ms = (v) => (v >= 1000 ? v.toFixed(0) : v >= 100 ? v.toFixed(1) : v >= 10 ? v.toFixed(2) : v.toFixed(3));
const times = (v) => `${v >= 10 ? v.toFixed(1) : v.toFixed(2)}x`;
const kib = (v) => (v / 1024).toFixed(0);
const table = (head, rows) => [
  `| ${head.join(" | ")} |`,
  `|${head.map((_, i) => (i ? "---:" : "---")).join("|")}|`,
  ...rows.map((r) => `| ${r.join(" | ")} |`),
];

const what = ({ info = {} }) =>
  [info.backend, info.tier, info.mode, info.threads > 1 && `${info.threads} threads`].filter(Boolean).join(", ");

/** The lines of a task's table and targets. */
export function section(task) {
  const ok = task.rows
    .filter((r) => r.samples?.length)
    .map((r) => ({ ...r, min: Math.min(...r.samples), median: median(r.samples) }));
  const rivals = ok.filter((r) => !r.ours).sort((a, b) => a.min - b.min),
    best = rivals[0]?.min;
  const lines = [
    `### ${task.title}`,
    "",
    ...table(
      [
        "engine",
        "runs as",
        "min ms",
        "median ms",
        ...(task.gflop ? ["GFLOP/s"] : []),
        "best rival's min / min",
        ...(task.kind === "start" ? [] : ["wasm memory MiB"]),
        "samples",
        "largest difference",
        "other load",
      ],
      ok.map((r) => [
        r.label,
        what(r),
        ms(r.min),
        ms(r.median),
        ...(task.gflop ? [((task.gflop / r.min) * 1000).toFixed(1)] : []),
        best ? times(best / r.min) : "",
        ...(task.kind === "start" ? [] : [r.memory ? (r.memory / 2 ** 20).toFixed(0) : ""]),
        r.samples.length,
        r.difference.toExponential(1),
        r.other == null ? "" : r.other.toFixed(2) + (r.other > NOISY ? " (noisy)" : ""),
      ]),
    ),
  ];
  for (const r of task.rows.filter((q) => q.error)) lines.push("", `${r.label}: failed (${r.error})`);
  const by = Object.fromEntries([...ok.map((r) => [r.id, r]), ...(rivals[0] ? [[RIVALS, rivals[0]]] : [])]);
  const lost = task.rows.filter((r) => r.error && !r.ours).map((r) => r.label),
    without = lost.length ? ` (without ${lost.join(" and ")}, which failed)` : "";
  const verdicts = task.targets
    .filter(([a, b]) => by[a] && (!b || by[b]))
    .map(([a, b, want]) => {
      if (!b)
        return `- ${by[a].label}: ${ms(by[a].min)} ms, target under ${want} ms: ${by[a].min < want ? "met" : "**missed**"}`;
      const ratio = by[b].min / by[a].min;
      const target = `${want === 1 ? "faster" : `at least ${times(want)}`}${b === RIVALS ? without : ""}`;
      return `- ${by[a].label} against ${by[b].label}: ${times(ratio)}, target ${target}: ${ratio >= want ? "met" : "**missed**"}`;
    });
  for (const [a] of task.targets) {
    const failed = task.rows.find((r) => r.id === a && r.error);
    if (failed) verdicts.push(`- ${failed.label}: failed, so its target is **missed**`);
  }
  if (verdicts.length) lines.push("", ...verdicts);
  return lines;
}

export function downloads(results) {
  const rows = [],
    seen = new Set();
  for (const task of results.tasks)
    for (const r of task.rows) {
      const use = task.kind === "train" ? "training" : "inference",
        key = r.label + use;
      if (!r.download?.raw || seen.has(key)) continue;
      seen.add(key);
      rows.push([
        r.label,
        use,
        kib(r.download.raw),
        kib(r.download.brotli),
        r.download.files.map((f) => `\`${f.file}\``).join(" "),
      ]);
    }
  return rows.length
    ? [
        "### Download: JavaScript and wasm a page fetches, KiB",
        "",
        ...table(["engine", "for", "raw", "brotli", "files"], rows),
      ]
    : [];
}

export function markdown(results) {
  const e = results.environment;
  const lines = [
    `${e.date}; ${e.cpu}, ${e.cores} cores, ${e.memoryGiB} GiB; ${e.browser}; Node ${e.node}; Convoke ${e.convoke}; ${Object.entries(
      e.peers,
    )
      .map((p) => p.join(" "))
      .join(", ")}.`,
  ];
  for (const task of results.tasks) lines.push("", ...section(task));
  return `${[...lines, "", ...downloads(results)].join("\n")}\n`;
}

export const document = (results) => `# Benchmarks

Written by \`make bench\` (\`bench/README.md\` says what is measured and how). All engines ran in one Chromium, in turn, on the
same weights and input, and had to agree on the answers first. Compare within a table, never across machines or runs: the
times move by a quarter with whatever else a machine does ("other load" is the cores other processes took meanwhile).
"Largest difference" is from plain float64 loops, relative to the largest logit; in training, of the first losses from the
peers' median.

${markdown(results)}`;
