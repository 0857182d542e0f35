// Failures are told where they happen, with the text and the code they have.
import { ConvokeError } from "convoke";
import { make } from "./dom.js";

export interface Remedy {
  label: string;
  run: () => void;
}

export const isAbort = (error: unknown): boolean => error instanceof DOMException && error.name === "AbortError";

export function clearErrors(place: HTMLElement): void {
  place.replaceChildren();
}

export function showError(place: HTMLElement, what: string, error: unknown, ...remedies: Remedy[]): void {
  const text = isAbort(error) ? "cancelled" : error instanceof Error ? error.message : String(error);
  const box = make("div", { className: "error" });
  box.setAttribute("role", "alert");
  const code = error instanceof ConvokeError ? error.code : isAbort(error) ? "aborted" : undefined;
  if (code) box.dataset.code = code;
  const message = make("p", {}, make("strong", { textContent: `${what}: ` }), text);
  if (code) message.append(" ", make("code", { textContent: code }));
  const buttons = make("div", { className: "error-actions" });
  for (const { label, run } of remedies) {
    const button = make("button", { type: "button", textContent: label });
    button.addEventListener("click", () => {
      box.remove();
      run();
    });
    buttons.append(button);
  }
  const dismiss = make("button", { type: "button", className: "quiet", textContent: "Dismiss" });
  dismiss.addEventListener("click", () => box.remove());
  buttons.append(dismiss);
  box.append(message, buttons);
  place.replaceChildren(box);
}
