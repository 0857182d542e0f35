// One thread of the `threads` tier. It enters the pool and stays there until its worker is terminated.
import type { ThreadStart } from "./engine/threads.js";

self.onmessage = async ({ data }: MessageEvent<ThreadStart>) => {
  try {
    const wasm = await import("../wasm/threads/convoke.js");
    wasm.initSync({ module: data.module, memory: data.memory });
    postMessage("ready");
    wasm.enterPool(data.pool);
  } catch (error) {
    postMessage(String(error));
    // The engine may be blocked in a wait for this thread and receive no message; the page receives this one.
    new BroadcastChannel(data.alarm).postMessage(String(error));
  }
};
