// Gives way to timers, messages and other work on the engine's thread.

/** The longest time that calls which are ready at once keep other work from running, beyond the end of one call. */
const MAX_BUSY_MS = 25;

let since = performance.now();

/** Lets the thread's other work run, if none could for some time. Call it between two pieces of work. */
export async function yieldIfDue(): Promise<void> {
  if (performance.now() - since >= MAX_BUSY_MS) await yieldNow();
}

/** Lets the thread's other work run. Unlike a timer of 0 ms, which browsers stretch to 4, it takes microseconds. */
export async function yieldNow(): Promise<void> {
  await macrotask();
  since = performance.now();
}

function macrotask(): Promise<void> {
  const { setImmediate } = globalThis as { setImmediate?: (work: () => void) => void };
  if (setImmediate) return new Promise((resolve) => setImmediate(resolve));
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}
