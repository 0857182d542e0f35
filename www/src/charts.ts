// Two live curves over the steps, drawn by uPlot.
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { onColourScheme, styleValue } from "./dom.js";

const SMOOTH = 0.06; // weight of the newest batch in the thick line
const EVERY = 80; // ms between redraws

export interface Chart {
  /** The running mean after this step is returned. */
  add(step: number, batch: number, heldOut: number | undefined): number;
  /** Begins a new run; the current curve stays, faintly, for comparison. */
  clear(): void;
  /** Removes the previous run, too. */
  forget(): void;
}

export interface ChartOptions {
  what: string;
  format: (value: number) => string;
  /** Fixed ends of the vertical axis; otherwise it is logarithmic, for positive values. */
  range?: [number, number];
}

export function createChart(place: HTMLElement, { what, format, range }: ChartOptions): Chart {
  const steps: number[] = [];
  const batch: number[] = [];
  const smooth: number[] = [];
  const heldOut: (number | null)[] = [];
  /** Of the run before: its steps, running means, and held-out values. */
  let former: [number[], number[], (number | null)[]] = [[], [], []];
  let plot: uPlot | undefined;
  let waiting = false;

  const data = (): uPlot.AlignedData => uPlot.join([[steps, batch, smooth, heldOut], former]);

  function options(width: number): uPlot.Options {
    const text = styleValue("--soft");
    const grid = { stroke: styleValue("--line"), width: 1 };
    const axis = { stroke: text, grid, ticks: { show: false }, font: `11px ${styleValue("--font")}` };
    const value = (_: uPlot, v: number | null) => (v === null ? "–" : format(v));
    const before = { stroke: styleValue("--soft"), width: 1, spanGaps: true, points: { show: false }, value };
    const across: uPlot.Axis = {
      ...axis,
      grid: range ? grid : { ...grid, filter: powersOfTen },
      size: 42,
      space: 30,
      values: (_, ticks) => ticks.map((v) => (v === null ? "" : format(v))),
    };
    return {
      width,
      height: 168,
      padding: [8, 6, 0, 0],
      legend: { show: false },
      cursor: { points: { size: 6 }, y: false, drag: { x: true, y: false } },
      scales: {
        x: { time: false, range: (_, min, max) => [min ?? 0, Math.max(max ?? 0, 20)] },
        y: range ? { range } : { distr: 3, range: (_, min, max) => decades(min ?? 1, max ?? 1) },
      },
      series: [
        {},
        { stroke: styleValue("--train-faint"), width: 1, points: { show: false }, spanGaps: true, value },
        { stroke: styleValue("--train"), width: 2, points: { show: false }, spanGaps: true, value },
        {
          stroke: styleValue("--heldout"),
          width: 2,
          spanGaps: true,
          points: { show: true, size: 6, fill: styleValue("--heldout") },
          value,
        },
        { ...before, dash: [4, 3] },
        { ...before, points: { show: true, size: 5, fill: styleValue("--soft") } },
      ],
      axes: [{ ...axis, size: 26, space: 48 }, across],
    };
  }

  function build(): void {
    plot?.destroy();
    plot = new uPlot(options(Math.max(place.clientWidth, 120)), data(), place);
  }

  function draw(): void {
    waiting = false;
    plot?.setData(data());
    const last = smooth.at(-1);
    const best = heldOut.filter((v) => v !== null).at(-1);
    const tested = best == null ? "" : `; held out ${format(best)}`;
    place.ariaLabel =
      last === undefined
        ? `Curve of the ${what}; no steps yet`
        : `Curve of the ${what} over ${steps.at(-1)} steps, now ${format(last)}${tested}`;
  }

  function drawSoon(): void {
    if (waiting) return;
    waiting = true;
    setTimeout(() => requestAnimationFrame(draw), EVERY);
  }

  new ResizeObserver(() => plot?.setSize({ width: Math.max(place.clientWidth, 120), height: 168 })).observe(place);
  onColourScheme(build);
  build();

  return {
    add(step, value, tested) {
      // A run that goes on from a checkpoint repeats some steps.
      while (steps.length > 0 && steps.at(-1)! >= step)
        for (const series of [steps, batch, smooth, heldOut]) series.pop();
      const former = smooth.at(-1);
      // At first the plain mean, so that the start does not linger.
      const weight = Math.max(SMOOTH, 1 / (steps.length + 1));
      const mean = former === undefined ? value : former + weight * (value - former);
      steps.push(step);
      batch.push(value);
      smooth.push(mean);
      heldOut.push(tested ?? null);
      drawSoon();
      return mean;
    },
    clear() {
      if (steps.length > 0) former = [[...steps], [...smooth], [...heldOut]];
      for (const series of [steps, batch, smooth, heldOut]) series.length = 0;
      drawSoon();
    },
    forget() {
      former = [[], [], []];
      drawSoon();
    },
  };
}

const powersOfTen = (_: uPlot, ticks: number[]) => ticks.map((v) => (Number.isInteger(Math.log10(v)) ? v : null));

/** Ends of a logarithmic axis that show the values and at least a factor of a hundred. */
function decades(min: number, max: number): [number, number] {
  const top = Math.max(max, 1) * 1.2;
  return [Math.max(Math.min(min, top / 100), 1e-3), top];
}
