// The entry for Node. Files are read from disk, and the engine runs on the caller's thread.
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { environment } from "./shared/environment.js";

environment.worker = false;
environment.resolve = (source) => (/^[a-z][a-z0-9+.-]+:/i.test(source) ? new URL(source) : pathToFileURL(source));
environment.readFile = async (url) => new Uint8Array(await readFile(url));

export * from "./index.js";
