// Serves the built page on 127.0.0.1. Every answer, of any status, has the headers of vite.config.ts.
//   node serve.mjs [--check]        PORT=8080; --check only looks whether the port is free
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";

const host = "127.0.0.1";
const port = Number(process.env.PORT || 8080);
const root = fileURLToPath(new URL(".", import.meta.url));

function portFree() {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", (error) => resolve(error.message));
    probe.listen(port, host, () => probe.close(() => resolve(true)));
  });
}

function giveUp(message) {
  console.error(message);
  process.exit(1);
}

if (!Number.isInteger(port) || port < 1 || port > 65535) giveUp(`PORT=${process.env.PORT} is not a port number`);
const free = await portFree();
if (free !== true) {
  giveUp(
    free.includes("EADDRINUSE")
      ? `Port ${port} is busy. Choose another one: make demo PORT=${port + 1}`
      : `Cannot serve on port ${port}: ${free}`,
  );
}
if (process.argv.includes("--check")) process.exit(0);

const { preview } = await import("vite");
await preview({ root, logLevel: "warn", preview: { host, port } });
console.log(`Convoke runs at http://${host}:${port}/ (Ctrl-C stops it)`);
