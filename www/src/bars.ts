// One bar per class, ten at most.
import type { Classification } from "convoke";
import { make } from "./dom.js";
import { chance } from "./text.js";

export const MOST = 10;

interface Bar {
  item: HTMLLIElement;
  label: HTMLElement;
  meter: HTMLElement;
  fill: HTMLElement;
  value: HTMLElement;
}

export interface Bars {
  /** Without an answer the bars are empty. */
  show(answer: Classification[] | undefined): void;
}

export function createBars(list: HTMLElement): Bars {
  const bars: Bar[] = Array.from({ length: MOST }, (_, index) => {
    const label = make("span", { className: "bar-label", textContent: String(index) });
    const fill = make("span", { className: "bar-fill" });
    const meter = make("span", { className: "bar-track" }, fill);
    meter.setAttribute("role", "meter");
    meter.setAttribute("aria-valuemin", "0");
    meter.setAttribute("aria-valuemax", "1");
    const value = make("span", { className: "bar-value" });
    const item = make("li", {}, label, meter, value);
    list.append(item);
    return { item, label, meter, fill, value };
  });

  function set(bar: Bar, label: string, probability: number | undefined, best: boolean): void {
    bar.label.textContent = label;
    bar.meter.setAttribute("aria-label", label);
    bar.meter.setAttribute("aria-valuenow", (probability ?? 0).toFixed(4));
    bar.meter.setAttribute("aria-valuetext", probability === undefined ? "no answer" : chance(probability));
    bar.fill.style.transform = `scaleX(${probability ?? 0})`;
    bar.value.textContent = probability === undefined ? "" : chance(probability);
    bar.item.classList.toggle("best", best);
  }

  function show(answer: Classification[] | undefined): void {
    if (!answer) {
      for (const bar of bars) set(bar, bar.label.textContent ?? "", undefined, false);
      return;
    }
    const [best] = answer;
    // The digits keep their order; of more classes the likeliest ten are shown.
    const shown = answer.every((a) => a.index < MOST) ? [...answer].sort((a, b) => a.index - b.index) : answer;
    bars.forEach((bar, i) => {
      const entry = shown[i];
      bar.item.hidden = !entry;
      if (entry) set(bar, entry.label, entry.probability, entry === best);
    });
  }

  show(undefined);
  return { show };
}
