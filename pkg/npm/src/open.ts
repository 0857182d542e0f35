// Starts the engine and gives it a network, both at once.
import { checkCallback, checkObject, checkSignal, copyOptions } from "./arguments.js";
import { type Connection, connect } from "./connection.js";
import { aborted } from "./handle.js";
import type { OpenedNetwork, OpenOptions } from "./shared/engine-rpc.js";
import { digest, type Hash } from "./shared/integrity.js";
import type { CreateOptions, LoadOptions } from "./shared/types.js";
import { type ReadSource, resolveSource } from "./source.js";

type Options = LoadOptions & CreateOptions;

let tickets = 0;

/**
 * Opens the network that `read` returns. The engine starts while the file is on its way; when one of them fails or is
 * aborted, the other stops too.
 */
export async function openNetwork(
  options: Options,
  read: (o: Options, sha256: Hash) => Promise<ReadSource>,
): Promise<{ connection: Connection; opened: OpenedNetwork }> {
  checkObject("options", options);
  checkSignal(options.signal);
  checkCallback("onProgress", options.onProgress);
  options.signal?.throwIfAborted();
  const o = portableOptions(options);
  const connection = connect(options.worker);
  const ticket = ++tickets;
  const control = new AbortController();
  const stop = (reason: unknown) => {
    control.abort(reason);
    connection.call((engine) => engine.abort(ticket)).catch(() => {});
  };
  const abort = () => stop(options.signal?.reason);
  options.signal?.addEventListener("abort", abort, { once: true });
  const progress = options.onProgress && connection.callback(options.onProgress);
  const open = async () => {
    connection.call((engine) => engine.prepare(ticket, o, progress)).catch(stop);
    const sha256 = digest((bytes) => connection.call((engine) => engine.sha256(bytes, o)));
    const { origin, buffer, refused } = await read({ ...options, signal: control.signal }, sha256);
    const sent = connection.transfer(origin, buffer ? [buffer] : []);
    const opening = connection.call((engine) => engine.open(ticket, sent, o, progress));
    const opened = await opening.catch(async (error) => {
      await refused?.();
      throw error;
    });
    // The abort may have come too late for the engine, though not for the caller.
    if (control.signal.aborted) connection.call((engine) => engine.dispose(opened.id)).catch(() => {});
    return { connection, opened };
  };
  try {
    const opening = open();
    return await Promise.race([opening, aborted(control.signal, opening)]);
  } catch (error) {
    stop(error);
    throw error;
  } finally {
    options.signal?.removeEventListener("abort", abort);
  }
}

/** Returns the options that can be posted to the worker. */
function portableOptions(o: Options): OpenOptions {
  const { backend, tier, threads, arch, format, wasmUrl } = o;
  const resolved = wasmUrl && resolveSource(wasmUrl, "wasmUrl").href;
  const given = { backend, tier, threads, arch, format, wasmUrl: resolved };
  const known = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return copyOptions("options", known) as OpenOptions;
}
