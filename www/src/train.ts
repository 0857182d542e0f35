// 'Train it here': one run at a time, from a seed to a network that can be used.
import { ConvokeError, Network, type StepReport, type Trainer, type TrainingData } from "convoke";
import type { Forced } from "./address.js";
import { createChart } from "./charts.js";
import type { CurrentNetwork } from "./current.js";
import { type Digits, loadDigits } from "./data.js";
import { byId } from "./dom.js";
import { clearErrors, isAbort, type Remedy, showError } from "./errors.js";
import { hideJudgement, judge, showJudgement } from "./judge.js";
import { createSettings, type Settings } from "./settings.js";
import { count, loss, percent, rate } from "./text.js";
import { beginWait } from "./waits.js";

type State = "idle" | "starting" | "training" | "paused" | "stopped" | "done" | "failed";

export function setUpTraining(current: CurrentNetwork, forced: Forced, revive: () => void): void {
  const errors = byId("train-errors");
  const waits = byId("train-waits");
  const chip = byId("train-state");
  const bar = byId("train-progress", HTMLProgressElement);
  const start = byId("start", HTMLButtonElement);
  const pause = byId("pause", HTMLButtonElement);
  const stop = byId("stop", HTMLButtonElement);
  const use = byId("use", HTMLButtonElement);
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

  const settings = createSettings();
  let state: State = "idle";
  let trainer: Trainer | undefined;
  let controller = new AbortController();
  let last: StepReport | undefined;
  let speed = 0;

  function enter(next: State, text: string = next): void {
    state = next;
    chip.dataset.state = next;
    chip.textContent = text;
    const running = next === "training" || next === "paused";
    start.disabled = running || next === "starting";
    start.textContent = last && !running ? "Start again" : "Start training";
    pause.disabled = !running;
    pause.textContent = next === "paused" ? "Resume" : "Pause";
    stop.disabled = !running && next !== "starting";
    use.disabled = !trainer || last === undefined || next === "starting";
    settings.lock(start.disabled);
  }

  function show(report: StepReport): void {
    last = report;
    speed = speed === 0 ? report.samplesPerSecond : speed + 0.1 * (report.samplesPerSecond - speed);
    const meanLoss = lossChart.add(report.step, report.loss, report.validation?.loss);
    const meanAccuracy = accuracyChart.add(report.step, report.accuracy, report.validation?.top1);
    figures.step.textContent = count(report.step);
    figures.loss.textContent = loss(meanLoss);
    figures.accuracy.textContent = percent(meanAccuracy);
    figures.rate.textContent = rate(report.learningRate);
    figures.speed.textContent = count(speed);
    if (report.validation) figures.heldOut.textContent = percent(report.validation.top1);
    if (use.disabled) use.disabled = false;
  }

  function reset(): void {
    trainer?.dispose();
    trainer?.network.dispose();
    trainer = undefined;
    last = undefined;
    speed = 0;
    lossChart.clear();
    accuracyChart.clear();
    hideJudgement();
    bar.value = 0;
    for (const figure of Object.values(figures)) figure.textContent = "–";
  }

  /** From random weights, or on from a checkpoint. */
  async function run(chosen: Settings, checkpoint?: Uint8Array): Promise<void> {
    clearErrors(errors);
    if (checkpoint) trainer?.dispose();
    else reset();
    controller = new AbortController();
    const { signal } = controller;
    enter("starting");
    try {
      const digits = await fetchDigits(controller);
      const engine = { ...forced, backend: chosen.backend, signal };
      const wait = beginWait(waits, "Making the network", () => controller.abort());
      try {
        const onProgress = wait.progress;
        const network = checkpoint
          ? await Network.load(checkpoint, { ...engine, onProgress })
          : await Network.create("lenet5", { ...engine, classes: 10, seed: chosen.seed, onProgress });
        const { optimizer, schedule, augment, batchSize, seed } = chosen;
        // A checkpoint has all that, with what was changed while it ran.
        trainer = await network.trainer(checkpoint ? {} : { optimizer, schedule, augment, batchSize, seed });
      } finally {
        wait.end();
      }
      await fit(trainer, digits, chosen);
      enter(signal.aborted ? "stopped" : "done");
    } catch (error) {
      if (isAbort(error)) enter(last ? "stopped" : "idle");
      else fail(error, chosen);
    }
  }

  async function fit(trainer: Trainer, digits: Digits, { epochs }: Settings): Promise<void> {
    const perEpoch = digits.train.shape[0];
    const now = { epoch: 0, images: 0 };
    enter("training");
    const reports = trainer.fit(digits.train, { epochs, validation: digits.heldOut, signal: controller.signal });
    for await (const report of reports) {
      show(report);
      if (report.epoch !== now.epoch) {
        Object.assign(now, { epoch: report.epoch, images: 0 });
        if (state === "training") enter("training", `epoch ${report.epoch} of ${epochs}`);
      }
      now.images += trainer.batchSize;
      bar.value = report.validation ? report.epoch / epochs : (report.epoch - 1 + now.images / perEpoch) / epochs;
      if (report.validation) await showMistakes(trainer, digits.heldOut);
    }
  }

  /** What stops the engine meanwhile is told by the run itself, with its checkpoint. */
  async function showMistakes({ network }: Trainer, heldOut: TrainingData): Promise<void> {
    const judgement = await judge(network, heldOut).catch(() => undefined);
    if (judgement) showJudgement(judgement, heldOut);
  }

  function fail(error: unknown, chosen: Settings): void {
    enter("failed");
    const checkpoint = error instanceof ConvokeError ? error.checkpoint : undefined;
    const remedies: Remedy[] = [];
    if (checkpoint) {
      const goOn = () => {
        revive(); // The classifier had the same worker.
        void run(chosen, checkpoint);
      };
      remedies.push({ label: "Continue from the checkpoint", run: goOn });
    }
    showError(errors, "Training stopped", error, ...remedies);
  }

  async function fetchDigits(controller: AbortController): Promise<Digits> {
    const wait = beginWait(waits, "Digits", () => controller.abort());
    try {
      return await loadDigits(wait.downloaded, controller.signal);
    } finally {
      wait.end();
    }
  }

  /** A copy of what was learnt so far goes to the classifier, so training may go on. */
  async function useIt(): Promise<void> {
    if (!trainer || !last) return;
    clearErrors(errors);
    const { step } = last;
    const wait = beginWait(waits, "Handing the network over");
    try {
      const bytes = await trainer.network.save();
      const backend = current.get()?.network.backend ?? "cpu";
      const network = await Network.load(bytes, { ...forced, backend });
      current.replace({ network, origin: `trained here for ${count(step)} steps`, source: bytes });
      byId("classify").scrollIntoView({ block: "nearest" });
    } catch (error) {
      showError(errors, "Could not use the network", error);
    } finally {
      wait.end();
    }
  }

  settings.form.addEventListener("submit", (event) => {
    event.preventDefault();
    const chosen = settings.read();
    if (chosen && !start.disabled) void run(chosen);
  });
  settings.onLearningRate((value) => adjust((t) => (t.learningRate = value)));
  settings.onBatchSize((value) => adjust((t) => (t.batchSize = value)));

  function adjust(change: (trainer: Trainer) => void): void {
    if (!trainer || (state !== "training" && state !== "paused")) return;
    try {
      change(trainer);
    } catch (error) {
      showError(errors, "Could not change it", error);
    }
  }

  pause.addEventListener("click", () => {
    if (state === "training") {
      trainer?.pause();
      enter("paused");
    } else if (state === "paused") {
      trainer?.resume();
      enter("training", last ? `epoch ${last.epoch}` : "training");
    }
  });
  stop.addEventListener("click", () => {
    if (state === "paused") trainer?.resume();
    controller.abort();
  });
  use.addEventListener("click", () => void useIt());
}
