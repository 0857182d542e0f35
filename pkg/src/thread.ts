// One thread of the `threads` tier. It enters the pool and stays there until its worker is ended.
import type { ThreadStart } from "./threads.js";

self.onmessage = async ({ data }: MessageEvent<ThreadStart>) => {
  try {
    const wasm = await import("../wasm/threads/convoke.js");
    wasm.initSync({ module: data.module, memory: data.memory });
    postMessage("ready");
    wasm.enterPool(data.pool);
  } catch (error) {
    postMessage(String(error));
    // The engine may be waiting for this thread and hear nothing; the page does.
    new BroadcastChannel(data.alarm).postMessage(String(error));
  }
};
