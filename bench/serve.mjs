#!/usr/bin/env node
// The benchmark in a person's own browser:  node bench/serve.mjs  and open the address that it prints.
import fs from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { BENCH, ROUTES, serve } from "./lib/server.mjs";
import { make } from "./models/make.mjs";
import { setup } from "./setup.mjs";
import { ENGINES, TASKS } from "./table.mjs";

const { values: args } = parseArgs({ options: { port: { type: "string", default: "8090" } } });
if (!fs.existsSync(path.join(ROUTES["/convoke/"], "dist", "index.js"))) {
  console.error("bench: pkg/npm/dist/index.js is not there: build the package first (make package)");
  process.exit(1);
}
setup();

/** A network's model files are written when they are first asked for. */
const reference = (task) => (task in TASKS ? make(TASKS[task].model) : null);

const { origin } = await serve(
  { ...ROUTES, "/bench/": BENCH },
  { port: Number(args.port), answers: { "/reference/": reference } },
);
console.log(
  `bench: ${Object.keys(TASKS).length} tasks, ${Object.keys(ENGINES).length} engines at ${origin}/page/run.html; Ctrl-C ends it`,
);
