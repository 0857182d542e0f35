// Whether this machine computes the network in use as it should: each backend beside exact sums, in words.
import type { BackendCheck, LayerError } from "convoke";
import type { CurrentNetwork } from "./current.js";
import { byId, make } from "./dom.js";
import { clearErrors, showError } from "./errors.js";
import { beginWait } from "./waits.js";

const names = { cpu: "CPU", webgpu: "WebGPU" };

export function setUpSelfTest(current: CurrentNetwork): void {
  const button = byId("self-test", HTMLButtonElement);
  const results = byId("self-test-results");
  const errors = byId("network-errors");

  button.addEventListener("click", async () => {
    const network = current.get()?.network;
    if (!network) return;
    clearErrors(errors);
    results.replaceChildren();
    button.disabled = true;
    const wait = beginWait(byId("network-waits"), "Testing this machine");
    try {
      const { backends, webgpu } = await network.selfTest({
        onProgress: ({ backend, done, total }) => wait.doing(`Testing ${names[backend]}`, done / total),
      });
      if (network !== current.get()?.network) return;
      const lines = backends.map(verdict);
      if (webgpu !== true) lines.push(`WebGPU was not tested: ${webgpu}.`);
      results.replaceChildren(...lines.map((textContent) => make("li", { textContent })));
    } catch (error) {
      if (network === current.get()?.network) showError(errors, "Could not test this machine", error);
    } finally {
      wait.end();
      button.disabled = false;
    }
  });
  current.onChange(() => {
    results.replaceChildren();
    button.disabled = false;
  });
}

function verdict({ backend, passed, worst, layers }: BackendCheck): string {
  const all = `all ${layers.length} steps`;
  if (worst.error === 0) return `${names[backend]} is right: ${all} equal the exact sums bit for bit.`;
  const said = passed ? `is right: ${all} agree with exact sums` : "is wrong here: do not trust its answers";
  return `${names[backend]} ${said}. The worst, ${named(worst)}, is off by ${worst.error.toExponential(1)} of its largest value.`;
}

const named = ({ name, kind, algorithm }: LayerError) => `${name} (${algorithm ? `${kind}, ${algorithm}` : kind})`;
