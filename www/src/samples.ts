// A row of held-out digits as buttons: a toolbar, so one Tab stop and the arrow keys.
import digits from "virtual:samples";
import { inkImage, SIDE } from "./digit.js";
import { context2d, make, onColourScheme, styleValue } from "./dom.js";

export interface Sample {
  label: number;
  pixels: Uint8Array;
}

export const samples: Sample[] = digits.map(({ label, pixels }) => ({
  label,
  pixels: Uint8Array.from(atob(pixels), (c) => c.charCodeAt(0)),
}));

const PER_ROW = 10;

export function createSampleRow(row: HTMLElement, more: HTMLButtonElement, chosen: (sample: Sample) => void): void {
  let first = 0;

  const buttons = Array.from({ length: PER_ROW }, (_, index) => {
    const canvas = make("canvas", { width: SIDE, height: SIDE });
    const button = make("button", { type: "button", className: "sample", tabIndex: index === 0 ? 0 : -1 }, canvas);
    button.addEventListener("click", () => {
      const sample = samples[first + index];
      if (sample) chosen(sample);
    });
    button.addEventListener("focus", () => {
      for (const other of buttons) other.tabIndex = other === button ? 0 : -1;
    });
    row.append(button);
    return button;
  });

  row.addEventListener("keydown", (event) => {
    const at = buttons.indexOf(document.activeElement as HTMLButtonElement);
    const moves: Record<string, number> = {
      ArrowRight: at + 1,
      ArrowDown: at + 1,
      ArrowLeft: at - 1,
      ArrowUp: at - 1,
      Home: 0,
      End: PER_ROW - 1,
    };
    const next = moves[event.key];
    if (at < 0 || next === undefined) return;
    event.preventDefault();
    buttons[(next + PER_ROW) % PER_ROW]?.focus();
  });

  function paint(): void {
    const ink = rgb(styleValue("--ink"));
    buttons.forEach((button, index) => {
      const sample = samples[first + index];
      if (!sample) return;
      button.ariaLabel = `Sample digit ${sample.label}`;
      button.dataset.label = String(sample.label);
      const canvas = button.firstElementChild as HTMLCanvasElement;
      context2d(canvas).putImageData(inkImage(sample.pixels, ink), 0, 0);
    });
  }

  more.hidden = samples.length <= PER_ROW;
  more.addEventListener("click", () => {
    first = (first + PER_ROW) % samples.length;
    paint();
  });
  onColourScheme(paint);
  paint();
}

/** `#rrggbb` as numbers. */
function rgb(colour: string): [number, number, number] {
  const bits = Number.parseInt(colour.slice(1), 16);
  return [(bits >> 16) & 255, (bits >> 8) & 255, bits & 255];
}
