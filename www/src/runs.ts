// The runs of this page, beside each other: what they were told and how far they came.
import { byId, make } from "./dom.js";
import type { Settings } from "./settings.js";
import { count, percent, rate } from "./text.js";

/** Rows that are kept. */
const MOST = 8;

export interface Figures {
  steps: number;
  loss: number;
  /** The best on the held-out images, if there was one. */
  heldOut: number | undefined;
  speed: number;
}

export function createRuns(onClear: () => void): { add(settings: Settings, data: string, figures: Figures): void } {
  const section = byId("runs");
  const rows = byId("runs-rows");
  let number = 0;
  byId("runs-clear").addEventListener("click", () => {
    rows.replaceChildren();
    section.hidden = true;
    onClear();
  });
  return {
    add(settings, data, { steps, loss, heldOut, speed }) {
      const { network, optimizer, schedule, learningRate, batchSize, seed } = settings;
      const how = `${optimizer.kind}, ${schedule.kind}, ${rate(learningRate)}, ${batchSize}`;
      const best = heldOut === undefined ? "–" : percent(heldOut);
      const cells = [network, data, how, String(seed), count(steps), loss.toPrecision(3), best, count(speed)];
      rows.prepend(
        make(
          "tr",
          {},
          make("th", { scope: "row", textContent: `${++number}` }),
          ...cells.map((textContent) => make("td", { textContent })),
        ),
      );
      while (rows.children.length > MOST) rows.lastElementChild?.remove();
      section.hidden = false;
    },
  };
}
