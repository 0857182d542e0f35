self.onmessage = async ({ data }) => {
  const g = await import("../wasm/threads/convoke.js");
  g.initSync({ module: data.module, memory: data.memory } as never);
  postMessage(g.bump());
};
