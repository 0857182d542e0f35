#!/usr/bin/env node
import { execFileSync } from "node:child_process";
// Installs the peers at the versions of peers.json into an ignored folder; does nothing when they are there.
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const HERE = path.dirname(fileURLToPath(import.meta.url));
export const PEERS_ROOT = path.resolve(process.env.PEERS_ROOT || path.join(HERE, ".peers"));
export const WANTED = JSON.parse(fs.readFileSync(path.join(HERE, "peers.json"), "utf8"));

/** The installed version of a peer, or null. */
export function installed(name) {
  const file = path.join(PEERS_ROOT, "node_modules", name, "package.json");
  return fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, "utf8")).version : null;
}

export function setup() {
  const missing = Object.entries(WANTED).filter(([name, version]) => installed(name) !== version);
  if (!missing.length) return;
  console.log(`bench: installing ${missing.map((m) => m.join("@")).join(" ")}`);
  fs.mkdirSync(PEERS_ROOT, { recursive: true });
  // A package.json of exact versions keeps a later run from drifting; no install script of a peer is needed.
  fs.writeFileSync(
    path.join(PEERS_ROOT, "package.json"),
    JSON.stringify({ private: true, dependencies: WANTED }, null, 2),
  );
  execFileSync("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: PEERS_ROOT,
    stdio: "inherit",
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) setup();
