// A progress bar for every wait; those that can be ended have a Cancel button.
import type { Progress } from "convoke";
import { make } from "./dom.js";
import { bytes } from "./text.js";

const QUIET = 120; // ms that may pass before a bar appears

export interface Wait {
  /** Bytes of a download so far. */
  downloaded(loaded: number, total: number | undefined): void;
  /** Without a share the bar only shows that something goes on. */
  doing(what: string, share?: number): void;
  /** What the package reports. */
  progress(progress: Progress): void;
  end(): void;
}

export function beginWait(place: HTMLElement, what: string, abort?: () => void): Wait {
  const bar = make("progress", { max: 1 });
  const text = make("span", { className: "wait-text", textContent: `${what}…` });
  const row = make("div", { className: "wait" }, text, bar);
  bar.setAttribute("aria-label", what);
  if (abort) {
    const cancel = make("button", { type: "button", className: "quiet", textContent: "Cancel" });
    cancel.addEventListener("click", abort);
    cancel.setAttribute("aria-label", `Cancel: ${what}`);
    row.append(cancel);
  }
  const timer = setTimeout(() => place.append(row), QUIET);

  function doing(now: string, share?: number): void {
    text.textContent = now;
    if (share === undefined) bar.removeAttribute("value");
    else bar.value = share;
  }

  function downloaded(loaded: number, total: number | undefined): void {
    if (total) doing(`${what}: ${bytes(loaded)} of ${bytes(total)}`, loaded / total);
    else doing(`${what}: ${bytes(loaded)}`);
  }

  const phases = { compile: "Compiling the engine", plan: "Planning the network" };

  return {
    downloaded,
    doing,
    progress({ phase, loaded, total }) {
      if (phase === "network" || phase === "cache") downloaded(loaded, total);
      else doing(phases[phase], total ? loaded / total : undefined);
    },
    end() {
      clearTimeout(timer);
      row.remove();
    },
  };
}
