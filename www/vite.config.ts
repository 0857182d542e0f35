import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
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

export default defineConfig({
  plugins: [samples(fileURLToPath(new URL("public/data", import.meta.url)))],
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
  server: { headers: isolation, fs: { allow: [".."] } },
  // Pre-bundling would move the package's code away from its workers and wasm files.
  optimizeDeps: { exclude: ["convoke"] },
  preview: {
    strictPort: true,
    headers: { ...isolation, "Content-Security-Policy": policy },
  },
});
