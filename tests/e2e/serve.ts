// Serves the built page as `make demo` does; the tests get its address with inject("page").
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    page: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const root = fileURLToPath(new URL("../../www/", import.meta.url));
  if (!existsSync(`${root}dist/index.html`)) throw new Error("the page is not built: run 'make page' first");
  // The page's own Vite and settings.
  const vite = createRequire(`${root}package.json`).resolve("vite");
  const { preview } = (await import(pathToFileURL(vite).href)) as typeof import("vite");
  const server = await preview({ root, logLevel: "error", preview: { host: "127.0.0.1", port: 0, strictPort: false } });
  const address = server.httpServer.address();
  if (address === null || typeof address === "string") throw new Error("the page's server has no port");
  project.provide("page", `http://127.0.0.1:${address.port}/`);
  return () => server.close();
}
