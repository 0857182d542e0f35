// Where the network in use runs: the switch, and the sentence that says what and why.
import { type Backend, capabilities, type Network } from "convoke";
import { describe, type Forced } from "./address.js";
import type { CurrentNetwork } from "./current.js";
import { byId } from "./dom.js";
import { clearErrors, showError } from "./errors.js";
import { beginWait } from "./waits.js";

const names = { cpu: "CPU", webgpu: "WebGPU" };
const tiers = { simd128: "SIMD128", relaxed: "relaxed SIMD", threads: "relaxed SIMD with threads" };

export function setUpBackend(current: CurrentNetwork, forced: Forced): void {
  const choices = [...document.querySelectorAll<HTMLInputElement>("#backend-switch input")];
  const line = byId("engine");
  const errors = byId("classify-errors");
  const trainChoice = byId("train-backend", HTMLSelectElement);
  let missing: string | undefined;

  function show(network: Network | undefined): void {
    for (const choice of choices) choice.checked = choice.value === (network?.backend ?? forced.backend ?? "cpu");
    const parts: (string | HTMLElement)[] = [];
    if (network) {
      const what = document.createElement("strong");
      what.textContent = `${names[network.backend]}, ${tiers[network.tier]}${network.threads > 1 ? `, ${network.threads} threads` : ""}`;
      parts.push(what, ` — ${sentence(network.why)}`);
    }
    if (missing) parts.push(` No WebGPU: ${sentence(missing)}`);
    if (Object.keys(forced).length > 0) parts.push(` Forced by the address: ${describe(forced)}.`);
    line.replaceChildren(...parts);
  }

  async function move(to: Backend): Promise<void> {
    const now = current.get();
    if (!now || now.network.backend === to) return;
    clearErrors(errors);
    for (const choice of choices) choice.disabled = true;
    const wait = beginWait(byId("classify-waits"), `Moving to ${names[to]}`);
    try {
      current.replace({ ...now, network: await now.network.to(to) });
    } catch (error) {
      showError(errors, `Could not move to ${names[to]}`, error);
      show(now.network);
    } finally {
      wait.end();
      for (const choice of choices) choice.disabled = choice.value === "webgpu" && missing !== undefined;
    }
  }

  for (const choice of choices) choice.addEventListener("change", () => void move(choice.value as Backend));
  current.onChange(({ network }) => show(network));
  if (forced.backend) trainChoice.value = forced.backend;

  void capabilities().then(({ webgpu }) => {
    if (webgpu === true) return;
    missing = String(webgpu);
    const choice = choices.find(({ value }) => value === "webgpu");
    if (choice) {
      choice.disabled = true;
      choice.parentElement?.setAttribute("title", missing);
      choice.setAttribute("aria-describedby", "engine");
    }
    for (const option of trainChoice.options) option.disabled = option.value === "webgpu";
    show(current.get()?.network);
  });
}

function sentence(text: string): string {
  return text.endsWith(".") ? text : `${text}.`;
}
