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
  /** Shows a progress report of the package. */
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

  // Download and compiling go on side by side: what takes longest to watch is shown.
  const known = new Map<Progress["phase"], Progress>();
  function progress(now: Progress): void {
    known.set(now.phase === "cache" ? "network" : now.phase, now);
    const unfinished = ({ loaded, total }: Progress) => total === undefined || loaded < total;
    const [network, compile] = [known.get("network"), known.get("compile")];
    if (network && unfinished(network)) downloaded(network.loaded, network.total);
    else if (compile && unfinished(compile)) doing("Compiling the engine");
    else if (known.has("convert") && !known.has("plan")) doing("Reading ONNX");
    else if (known.has("plan")) doing("Planning the network");
  }

  return {
    downloaded,
    doing,
    progress,
    end() {
      clearTimeout(timer);
      row.remove();
    },
  };
}
