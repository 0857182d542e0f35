// Draws a training session: its buttons, its figures and its curves.
import type { StepReport } from "convoke";
import { createChart } from "./charts.js";
import { byId } from "./dom.js";
import { count, loss, percent, rate } from "./text.js";
import { controls, type TrainingSession } from "./training-session.js";

export interface TrainingView {
  errors: HTMLElement;
  waits: HTMLElement;
  start: HTMLButtonElement;
  pause: HTMLButtonElement;
  stop: HTMLButtonElement;
  /** Hands a copy of the network to the classifier. */
  use: HTMLButtonElement;
  /** Makes one step of a paused run. */
  single: HTMLButtonElement;
  /** Trains a plain and a residual network one after the other. */
  twins: HTMLButtonElement;
  saveRun: HTMLButtonElement;
  loadRun: HTMLButtonElement;
  draw(session: TrainingSession): void;
  /** Shows a step of the session in the figures and curves. */
  show(report: StepReport, session: TrainingSession): void;
  /** Clears the figures and the curve of the run. */
  clear(): void;
  /** Removes the curves of earlier runs. */
  forgetRuns(): void;
}

export function createTrainingView(): TrainingView {
  const chip = byId("train-state");
  const bar = byId("train-progress", HTMLProgressElement);
  const start = byId("start", HTMLButtonElement);
  const pause = byId("pause", HTMLButtonElement);
  const stop = byId("stop", HTMLButtonElement);
  const use = byId("use", HTMLButtonElement);
  const single = byId("step", HTMLButtonElement);
  const twins = byId("twins", HTMLButtonElement);
  const saveRun = byId("save-run", HTMLButtonElement);
  const loadRun = byId("load-run", HTMLButtonElement);
  const figures = {
    step: byId("figure-step"),
    loss: byId("figure-loss"),
    accuracy: byId("figure-accuracy"),
    heldOut: byId("figure-heldout"),
    rate: byId("figure-rate"),
    speed: byId("figure-speed"),
  };
  const lossChart = createChart(byId("loss-chart"), { what: "loss", format: (v) => `${Number(v.toPrecision(3))}` });
  const accuracyChart = createChart(byId("accuracy-chart"), {
    what: "accuracy",
    format: (v) => `${Number((v * 100).toFixed(1))} %`,
    range: [0, 1],
  });

  return {
    errors: byId("train-errors"),
    waits: byId("train-waits"),
    start,
    pause,
    stop,
    use,
    single,
    twins,
    saveRun,
    loadRun,
    draw(session) {
      const allowed = controls(session);
      chip.dataset.state = session.state;
      chip.textContent = session.label;
      bar.value = session.progress;
      for (const button of [start, twins, loadRun]) button.disabled = !allowed.canStart;
      start.textContent = allowed.startLabel;
      pause.disabled = !allowed.canPause;
      pause.textContent = allowed.pauseLabel;
      single.disabled = !allowed.canStep;
      stop.disabled = !allowed.canStop;
      saveRun.disabled = use.disabled = !allowed.canSave;
    },
    show(report, session) {
      const meanLoss = lossChart.add(report.step, report.loss, report.validation?.loss);
      const meanAccuracy = accuracyChart.add(report.step, report.accuracy, report.validation?.top1);
      figures.step.textContent = count(report.step);
      figures.loss.textContent = loss(meanLoss);
      figures.accuracy.textContent = percent(meanAccuracy);
      figures.rate.textContent = rate(report.learningRate);
      figures.speed.textContent = count(session.speed);
      if (report.validation) figures.heldOut.textContent = percent(report.validation.top1);
    },
    clear() {
      lossChart.clear();
      accuracyChart.clear();
      for (const figure of Object.values(figures)) figure.textContent = "–";
    },
    forgetRuns() {
      lossChart.forget();
      accuracyChart.forget();
    },
  };
}
