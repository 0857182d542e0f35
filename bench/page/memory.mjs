// The wasm memories of a page, found by watching what is instantiated in it. A wasm memory never shrinks, so its size is its
// peak. Threads share the page's memory; a worker's own memory and JavaScript's heap are not seen.
const memories = new Set();

const note = (values) => {
  for (const v of Object.values(values ?? {})) if (v instanceof WebAssembly.Memory) memories.add(v);
};

/** Has to be called before an engine is loaded. */
export function watch() {
  for (const name of ["instantiate", "instantiateStreaming"]) {
    const original = WebAssembly[name];
    WebAssembly[name] = async (source, imports) => {
      const result = await original.call(WebAssembly, source, imports);
      Object.values(imports ?? {}).forEach(note);
      note((result.instance ?? result).exports);
      return result;
    };
  }
  WebAssembly.Instance = new Proxy(WebAssembly.Instance, {
    construct(target, [module, imports]) {
      const instance = new target(module, imports);
      Object.values(imports ?? {}).forEach(note);
      note(instance.exports);
      return instance;
    },
  });
}

/** Bytes in all of them. */
export const total = () => [...memories].reduce((n, m) => n + m.buffer.byteLength, 0);
