import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Connect, defineConfig, type Plugin } from "vite";
import { samples } from "./samples.ts";

// Shared memory, and so threads, exists only on pages that send these.
const isolation = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};

// The strictest policy the page runs under. Only the built page: the development server inlines
// styles and scripts.
const policy = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self'",
  "connect-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob: data:",
].join("; ");

/**
 * Sends the headers with every answer, of any status: a browser refuses a worker whose script came by a 304 without them.
 * Vite itself sends them with files only. Names with a hash never get another content.
 */
function headers(): Plugin {
  const all =
    (sent: Record<string, string>): Connect.NextHandleFunction =>
    (request, response, next) => {
      const [path = ""] = (request.url ?? "").split("?");
      // A file that is missing now may be there after the next build.
      const isHashed =
        /^\/assets\/[\w.-]+-[\w-]{8}\.\w+$/.test(path) && existsSync(new URL(`dist${path}`, import.meta.url));
      const caching = isHashed ? "public, max-age=31536000, immutable" : "no-cache";
      for (const [name, value] of Object.entries(sent)) response.setHeader(name, value);
      response.setHeader("Cache-Control", caching);
      next();
    };
  return {
    name: "headers",
    configureServer: (server) => void server.middlewares.use(all(isolation)),
    configurePreviewServer: (server) =>
      void server.middlewares.use(all({ ...isolation, "Content-Security-Policy": policy })),
  };
}

export default defineConfig({
  plugins: [headers(), samples(fileURLToPath(new URL("public/data", import.meta.url)))],
  assetsInclude: ["**/*.safetensors"],
  base: "./", // works from any folder of any host
  appType: "mpa", // a missing file is a 404, not the page
  worker: { format: "es" }, // the package's workers import the wasm tier they need
  build: {
    target: "es2022",
    assetsInlineLimit: 0, // data: URLs would break the policy
    chunkSizeWarningLimit: 1000,
  },
  // The package is a link to ../pkg/npm, outside this folder.
  server: { fs: { allow: [".."] } },
  // Pre-bundling would move the package's code away from its workers and wasm files.
  optimizeDeps: { exclude: ["convoke"] },
  preview: { strictPort: true },
});
