#!/usr/bin/env node
// Runs the test stages, cheapest first, and ends with `N passed, N failed` alone on the last line.
//   scripts/test.mjs [--list] [--only stage,stage] [--long]
// A stage whose folder does not exist yet is skipped, and said to be. --long also runs the tests
// marked as long (Rust: #[ignore]; elsewhere: CONVOKE_LONG=1).
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants } from "node:zlib";

process.chdir(join(dirname(fileURLToPath(import.meta.url)), ".."));

// KiB brotli that a page loads: package and one tier. The aim is 420; the tiers take 424 to
// 426 since they recover from divergence, find the network of a file, check every argument and keep shaders' comments.
const SIZE_BUDGET = 430;
const ONNX_BUDGET = 260; // KiB brotli more for a page that opens or writes an ONNX file
const TIERS = ["simd128", "relaxed", "threads"];

const options = process.argv.slice(2);
const long = options.includes("--long");
const scratch = mkdtempSync(join(tmpdir(), "convoke-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));

// --- how each runner reports ---

// A count may name the tests that failed; the names stand again at the very end.

/**
 * The environment in which `cargo test -- -Zunstable-options --format json` reports each test as a line of JSON. Stable
 * Rust takes the option only with RUSTC_BOOTSTRAP, which test programs and rustdoc get, and build scripts do not: some of
 * them look at it, and everything would be compiled anew.
 */
function jsonReports() {
  const [, host] = /^host: (.*)$/m.exec(execFileSync("rustc", ["-vV"], { encoding: "utf8" }));
  const rustdoc = join(scratch, "rustdoc");
  writeFileSync(rustdoc, '#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec rustdoc "$@"\n', { mode: 0o755 });
  const runner = `CARGO_TARGET_${host.toUpperCase().replaceAll("-", "_")}_RUNNER`;
  return { RUSTDOC: rustdoc, [runner]: "env RUSTC_BOOTSTRAP=1" };
}

/** The outcome of a test in a line of a report; undefined for any other line. */
function testEvent(line) {
  if (!line.startsWith("{")) return undefined;
  try {
    const event = JSON.parse(line);
    return event.type === "test" && ["ok", "failed", "ignored"].includes(event.event) ? event : undefined;
  } catch {
    return undefined; // a test wrote it
  }
}

const rustReport = {
  env: jsonReports,
  count(output) {
    const events = output.split("\n").map(testEvent);
    const named = (outcome) => events.filter((e) => e?.event === outcome).map((e) => e.name);
    return { passed: named("ok").length, failed: named("failed").length, names: named("failed") };
  },
  /** Returns the part of a line to show: the name of a test, or the output of a failed one. */
  show(line) {
    const event = testEvent(line);
    if (event)
      return `${event.event.padEnd(8)}${event.name}${event.event === "failed" ? `\n${event.stdout ?? ""}` : ""}`;
    return /^\{ *"type"/.test(line) ? undefined : line;
  },
};

/** `test result: ok. 3 passed; 0 failed; …`, once per test binary: wasm-bindgen's runner has no other report. */
function countWasm(output) {
  const total = { passed: 0, failed: 0 };
  for (const [, passed, failed] of output.matchAll(/^test result: .*?(\d+) passed; (\d+) failed/gm)) {
    total.passed += Number(passed);
    total.failed += Number(failed);
  }
  const names = [...output.matchAll(/^test (\S+) \.\.\. FAIL(?:ED)?/gm)].map(([, name]) => name);
  return { ...total, names };
}

/** `node: 120 passed (90 on the engine, 30 folded), 0 failed, 12 not supported`, once per group of ONNX's tests. */
function countOnnx(output) {
  const total = { passed: 0, failed: 0 };
  for (const [, passed, failed] of output.matchAll(/^.*?[\w-]+: (\d+) passed .*?, (\d+) failed, \d+ not supported/gm)) {
    total.passed += Number(passed);
    total.failed += Number(failed);
  }
  return total;
}

const onnxTest = (name) => `cargo test --release --features cli --quiet --test onnx -- --ignored --nocapture ${name}`;

const vitest = (name, root, bin = "tests") => {
  const report = join(scratch, `${name}.json`);
  return {
    name,
    command: [
      `${bin}/node_modules/.bin/vitest`,
      ...["run", "--root", root, "--reporter=default", "--reporter=json", `--outputFile.json=${report}`],
    ],
    count() {
      if (!existsSync(report)) return { passed: 0, failed: 0 };
      const { numPassedTests, numFailedTests, testResults } = JSON.parse(readFileSync(report, "utf8"));
      const names = testResults
        .flatMap(({ assertionResults }) => assertionResults)
        .filter(({ status }) => status === "failed")
        .map(({ fullName, failureMessages }) => `${fullName}: ${failureMessages[0]?.split("\n")[0]}`);
      return { passed: numPassedTests, failed: numFailedTests, names };
    },
  };
};

const bash = (script) => ["bash", "-euc", script];
const onTier = (tier, script) => bash(`. scripts/wasm-flags.sh; wasm_env ${tier}; ${script}`);

// --- the stages: `needs` is what must exist; a step without `count` is one test ---

const clippyWasm = (tier) => ({
  name: `clippy, wasm ${tier}`,
  command: onTier(tier, "cargo clippy --release --lib --target wasm32-unknown-unknown $WASM_FEATURES -- -D warnings"),
});

const wasmTests = (tier) => ({
  needs: "tests/web.rs",
  steps: [
    {
      name: `wasm-${tier}`,
      // Release, as shipped. The threaded tier builds the standard library along, which only works
      // under test while the release profile does not set `panic` (duplicate lang items otherwise).
      command: onTier(
        tier,
        `wasm-pack test --headless --chrome --chromedriver "$(command -v chromedriver)" --mode no-install \
        --release -- $WASM_FEATURES --test web --test web_worker ${long ? "-- --include-ignored" : ""}`,
      ),
      // The default of 20 s is for all tests of a binary together.
      env: { WASM_BINDGEN_TEST_TIMEOUT: long ? "1800" : "300" },
      count: countWasm,
    },
  ],
});

const stages = {
  check: {
    steps: [
      { name: "format, Rust", command: ["cargo", "fmt", "--check"] },
      {
        name: "lint and format, TypeScript",
        command: ["pkg/npm/node_modules/.bin/biome", "check", "--error-on-warnings", "."],
      },
      // The page and the tests see the package as users do: through its built declarations.
      {
        name: "types, package",
        command: bash(
          "scripts/build-wasm.sh --fast --missing; cd pkg/npm; npm run --silent typecheck; npm run --silent build",
        ),
      },
      { name: "types, page", command: ["www/node_modules/.bin/tsc", "-p", "www"] },
      { name: "types, tests", command: ["tests/node_modules/.bin/tsc", "-p", "tests"] },
      // Release, because the macros and build scripts are then compiled already for the tests.
      { name: "clippy, native", command: bash("cargo clippy --release --all-targets --features cli -- -D warnings") },
      // Missing documentation and broken links are errors too: the lints in Cargo.toml.
      {
        name: "documentation",
        command: bash("cargo doc --release --lib --features cli --no-deps"),
        env: { RUSTDOCFLAGS: "-D warnings" },
      },
      {
        name: "order of folders",
        command: bash("cargo test --release --features cli --quiet --test architecture"),
      },
      clippyWasm("simd128"),
      clippyWasm("threads"),
      clippyWasm("onnx"),
      // A workspace of its own, which nothing else compiles.
      {
        name: "fuzz targets",
        command: bash("CARGO_TARGET_DIR=target/fuzz cargo check --quiet --locked --manifest-path fuzz/Cargo.toml"),
      },
    ],
  },
  rust: {
    steps: [
      {
        name: "rust",
        // Release: the dependencies are then compiled once for the tests and the command.
        command: [
          ...["cargo", "test", "--release", "--features", "cli", "--no-fail-fast"],
          ...["--", "-Zunstable-options", "--format", "json", ...(long ? ["--include-ignored"] : [])],
        ],
        ...rustReport,
      },
    ],
  },
  onnx: {
    needs: "tests/.onnx",
    steps: [
      {
        name: "ONNX's own tests on both engines",
        command: bash(onnxTest("backend_tests")),
        count: countOnnx,
      },
      {
        name: "written files in ONNX's checker and ONNX Runtime, and what it quantizes of them here",
        command: bash(
          `folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
          CONVOKE_ONNX_OUT="$folder" ${onnxTest("export")}
          tests/.onnx/bin/python tests/golden/onnx_check.py "$folder"
          tests/.onnx/bin/python tests/golden/onnx_quantized.py "$folder"
          CONVOKE_ONNX_OUT="$folder" ${onnxTest("networks_that_onnx_runtime_quantized")}`,
        ),
      },
    ],
  },
  "wasm-simd128": wasmTests("simd128"),
  "wasm-relaxed": wasmTests("relaxed"),
  "wasm-threads": wasmTests("threads"),
  size: { needs: "pkg/npm/package.json", steps: [{ name: "size", run: checkSize }] },
  // It compiles everything once more: with --long.
  ...(long && { "wasm-pack": { steps: [{ name: "wasm-pack", command: ["node", "scripts/test-wasm-pack.mjs"] }] } }),
  package: { needs: "pkg/npm/tests", steps: [vitest("package", "pkg/npm", "pkg/npm")] },
  consumers: { needs: "tests/consumers/vitest.config.ts", steps: [vitest("consumers", "tests/consumers")] },
  page: { needs: "tests/page/vitest.config.ts", steps: [vitest("page", "tests/page")] },
  e2e: { needs: "tests/e2e/vitest.config.ts", steps: [vitest("e2e", "tests/e2e")] },
};

/** Returns the download of each tier (the package's modules, the tier's glue and wasm) and of the ONNX module. */
function checkSize() {
  const brotli = (file) =>
    brotliCompressSync(readFileSync(file), {
      params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24 },
    }).length / 1024;
  const modules = readdirSync("pkg/npm/dist", { recursive: true })
    .filter((file) => file.endsWith(".js") && file !== "node.js")
    .reduce((sum, file) => sum + brotli(`pkg/npm/dist/${file}`), 0);
  const total = { passed: 0, failed: 0 };
  const check = (name, modules, budget) => {
    const glue = brotli(`pkg/npm/wasm/${name}/convoke.js`);
    const wasm = brotli(`pkg/npm/wasm/${name}/convoke_bg.wasm`);
    const sum = modules + glue + wasm;
    const parts = [modules, glue, wasm].map((n) => n.toFixed(1));
    console.log(
      `${name.padEnd(8)} modules ${parts[0]} + glue ${parts[1]} + wasm ${parts[2]} = ${sum.toFixed(1)} KiB brotli (at most ${budget})`,
    );
    total[sum <= budget ? "passed" : "failed"]++;
  };
  for (const tier of TIERS) check(tier, modules, SIZE_BUDGET);
  check("onnx", 0, ONNX_BUDGET);
  return total;
}

// --- running ---

/** Runs a command, streams its output, and returns the output with the exit status. */
function execute({ command, env, show }) {
  return new Promise((resolve) => {
    let output = "";
    const child = spawn(command[0], command.slice(1), {
      env: { ...process.env, ...(typeof env === "function" ? env() : env), ...(long ? { CONVOKE_LONG: "1" } : {}) },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of ["stdout", "stderr"]) {
      child[stream].on("data", (data) => {
        if (!show || stream === "stderr") process[stream].write(data);
        output += data;
      });
    }
    if (show) {
      createInterface({ input: child.stdout }).on("line", (line) => {
        const shown = show(line);
        if (shown !== undefined) console.log(shown);
      });
    }
    child.on("error", (error) => {
      console.error(String(error));
      resolve({ status: 127, output });
    });
    child.on("close", (status) => resolve({ status: status ?? 1, output }));
  });
}

async function runStep(step) {
  if (step.run) {
    try {
      return step.run();
    } catch (error) {
      console.error(String(error));
      return { passed: 0, failed: 1 };
    }
  }
  const { status, output } = await execute(step);
  if (!step.count) return status === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
  const counts = step.count(output);
  if (status !== 0 && counts.failed === 0) {
    console.error(`${step.name}: exit status ${status} without a failed test`);
    counts.failed = 1;
  }
  if (counts.passed + counts.failed === 0) {
    console.error(`${step.name}: no test ran`);
    counts.failed = 1;
  }
  return counts;
}

if (options.includes("--list")) {
  for (const [name, { needs }] of Object.entries(stages)) {
    console.log(needs && !existsSync(needs) ? `${name} (skipped: no ${needs})` : name);
  }
  process.exit(0);
}

const at = options.indexOf("--only");
const chosen = at >= 0 ? (options[at + 1] ?? "").split(",") : Object.keys(stages);
for (const name of chosen) {
  if (!stages[name]) {
    console.error(`no stage '${name}'; there are: ${Object.keys(stages).join(", ")}`);
    process.exit(2);
  }
}

const rows = [];
const failures = [];
for (const name of chosen) {
  const { needs, steps } = stages[name];
  if (needs && !existsSync(needs)) {
    rows.push({ name, skipped: `skipped: no ${needs}` });
    continue;
  }
  const row = { name, passed: 0, failed: 0 };
  const started = Date.now();
  for (const step of steps) {
    console.log(`\n=== ${step.name === name ? name : `${name}: ${step.name}`}`);
    const counts = await runStep(step);
    row.passed += counts.passed;
    row.failed += counts.failed;
    if (counts.failed === 0) continue;
    failures.push(step.name === name ? name : `${name}: ${step.name}`);
    for (const test of counts.names ?? []) failures.push(`  ${test}`);
  }
  row.seconds = (Date.now() - started) / 1000;
  rows.push(row);
}

console.log(`\n${"stage".padEnd(14)}${"passed".padStart(8)}${"failed".padStart(8)}${"seconds".padStart(10)}`);
for (const { name, passed, failed, seconds, skipped } of rows) {
  const cells = skipped ?? `${`${passed}`.padStart(8)}${`${failed}`.padStart(8)}${seconds.toFixed(1).padStart(10)}`;
  console.log(name.padEnd(14) + (skipped ? `  ${cells}` : cells));
}
for (const failure of failures) console.log(`FAILED ${failure}`);
const sum = (key) => rows.reduce((total, row) => total + (row[key] ?? 0), 0);
console.log(`${sum("passed")} passed, ${sum("failed")} failed`);
process.exitCode = sum("failed") > 0 ? 1 : 0;
