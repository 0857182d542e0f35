// A static server per page: its own origin, cross-origin isolated (fine clocks, shared memory), nothing cached unless
// asked for; it
// remembers which scripts and wasm files the page fetched, which is what the engine costs to download.
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { MODELS } from "../models/make.mjs";
import { PEERS_ROOT } from "../setup.mjs";

export const BENCH = path.dirname(path.dirname(fileURLToPath(import.meta.url))),
  MODULES = path.join(PEERS_ROOT, "node_modules");

/** What pages fetch: "/prefix/" -> folder. */
export const ROUTES = {
  "/page/": path.join(BENCH, "page"),
  "/models/": MODELS,
  "/convoke/": path.join(path.dirname(BENCH), "pkg", "npm"),
  "/ort/": path.join(MODULES, "onnxruntime-web", "dist"),
  "/tfjs/": path.join(MODULES, "@tensorflow"),
  "/litert/": path.join(MODULES, "@litertjs"),
  "/jax/": path.join(MODULES, "@jax-js"),
};

const TYPES = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
  ".json": "application/json",
};

/** routes: { "/prefix/": folder }; answers: { "/prefix/": the JSON for what follows it, or null } */
export async function serve(routes, { port = 0, answers = {}, cacheable = false } = {}) {
  const fetched = new Set();
  const server = http.createServer(async (request, response) => {
    const url = decodeURIComponent(request.url.split("?")[0]);
    const prefix = Object.keys(routes).find((p) => url.startsWith(p));
    const file = prefix && path.join(routes[prefix], url.slice(prefix.length));
    const headers = {
      "Cross-Origin-Opener-Policy": "same-origin",
      "Cross-Origin-Embedder-Policy": "require-corp",
      "Cross-Origin-Resource-Policy": "same-origin",
      "Cache-Control": cacheable ? "max-age=3600" : "no-store",
    };
    const question = Object.keys(answers).find((p) => url.startsWith(p)),
      answer = question && (await answers[question](url.slice(question.length)));
    if (answer) {
      response.writeHead(200, { ...headers, "Content-Type": "application/json" });
      response.end(JSON.stringify(answer));
      return;
    }
    const stat = file?.startsWith(routes[prefix]) && fs.statSync(file, { throwIfNoEntry: false });
    if (!stat?.isFile()) {
      response.writeHead(404, headers);
      response.end(`no ${url}`);
      return;
    }
    if (/\.(m?js|wasm)$/.test(file) && prefix !== "/page/") fetched.add(file);
    response.writeHead(200, {
      ...headers,
      "Content-Type": TYPES[path.extname(file)] || "application/octet-stream",
      "Content-Length": stat.size,
    });
    // Large pieces: what the server takes is nothing that engines differ in.
    fs.createReadStream(file, { highWaterMark: 1 << 20 }).pipe(response);
  });
  await new Promise((done) => server.listen(port, "127.0.0.1", done));
  return { origin: `http://127.0.0.1:${server.address().port}`, fetched, close: () => server.close() };
}
