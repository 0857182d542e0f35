// From a drawing to the bars.

import { ConvokeError } from "convoke";
import { createBars, MOST } from "./bars.js";
import type { CurrentNetwork } from "./current.js";
import { SIDE, toImage } from "./digit.js";
import { byId, context2d, onColourScheme, styleValue } from "./dom.js";
import { createPad } from "./draw.js";
import { clearErrors, showError } from "./errors.js";
import { latestOnly } from "./latest.js";
import { createSampleRow, samples } from "./samples.js";
import { chance, milliseconds } from "./text.js";

interface Drawn {
  pixels: Uint8Array | undefined;
  /** Whether the stroke has ended. */
  done: boolean;
}

export function setUpClassify(current: CurrentNetwork, revive: () => void): void {
  const answer = byId("answer");
  const said = byId("answer-text");
  const time = byId("answer-time");
  const hint = byId("pad-hint");
  const errors = byId("classify-errors");
  const bars = createBars(byId("bars"));
  const seen = context2d(byId("seen", HTMLCanvasElement));
  let digit: Uint8Array | undefined;
  let first = true;

  /** Says it only at the end of a stroke, so that a screen reader is not flooded. */
  async function answerTo({ pixels, done }: Drawn): Promise<void> {
    const network = current.get()?.network;
    if (!pixels || !network) {
      clear(network ? "Nothing drawn yet" : "Waiting for the network");
      return;
    }
    try {
      const start = performance.now();
      const result = await network.classify(toImage(pixels), { top: MOST });
      const took = performance.now() - start;
      if (network !== current.get()?.network || pixels !== digit) return;
      const [best] = result;
      bars.show(result);
      answer.textContent = best?.label ?? "–";
      answer.classList.toggle("long", (best?.label.length ?? 0) > 2);
      if (done && best) said.textContent = `It is ${best.label}: ${chance(best.probability)}`;
      time.textContent = `${milliseconds(took)} on ${network.backend === "cpu" ? "the CPU" : "WebGPU"}`;
      clearErrors(errors);
      if (first) performance.mark("convoke:first-classification");
      first = false;
    } catch (error) {
      // Replaced meanwhile: the new network is asked as well.
      if (network !== current.get()?.network) return;
      clear("No answer");
      const crashed = error instanceof ConvokeError && error.code === "worker-crashed";
      const remedies = crashed ? [{ label: "Start the engine again", run: revive }] : [];
      showError(errors, "Could not classify", error, ...remedies);
    }
  }

  const classify = latestOnly(async (drawn: Drawn) => {
    await answerTo(drawn);
    if (drawn.pixels === digit) answer.ariaBusy = "false";
  });

  function clear(text: string): void {
    bars.show(undefined);
    answer.textContent = "–";
    said.textContent = text;
    time.textContent = "";
  }

  function paintSeen(): void {
    seen.fillStyle = styleValue("--seen");
    seen.fillRect(0, 0, SIDE, SIDE);
    if (digit) seen.putImageData(toImage(digit), 0, 0);
  }

  const pad = createPad(byId("pad", HTMLCanvasElement), (pixels, done) => {
    digit = pixels;
    hint.hidden = pixels !== undefined;
    paintSeen();
    answer.ariaBusy = "true"; // until the answer belongs to these pixels
    classify({ pixels, done });
  });
  createSampleRow(byId("samples"), byId("more-samples", HTMLButtonElement), (sample) => pad.show(sample.pixels));
  byId("clear").addEventListener("click", () => pad.clear());
  onColourScheme(paintSeen);
  current.onChange(() => classify({ pixels: digit, done: true }));

  // The page is never empty.
  const start = samples[3];
  if (start) pad.show(start.pixels);
}
