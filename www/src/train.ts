// 'Train it here': one run at a time, from a seed to a network that can be used.
import { ConvokeError, Network, type StepReport, type Trainer } from "convoke";
import type { Forced } from "./address.js";
import { createChart } from "./charts.js";
import { type Collection, isFetched, withChannels } from "./collection.js";
import type { CurrentNetwork } from "./current.js";
import { byId } from "./dom.js";
import { clearErrors, isAbort, type Remedy, showError } from "./errors.js";
import { saveFile } from "./files.js";
import { createImages } from "./images.js";
import { hideJudgement, judge, showJudgement } from "./judge.js";
import { forget, type Kept, keep, kept, keptIn } from "./kept.js";
import { createRuns } from "./runs.js";
import { createSettings, type Settings } from "./settings.js";
import { count, loss, percent, rate } from "./text.js";
import { beginWait } from "./waits.js";
import { watch } from "./watch.js";

/** Steps between what is kept for the page's next visit, beside every epoch's end. */
const KEEP_EVERY = 200;

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

  const settings = createSettings();
  let state: State = "idle";
  let trainer: Trainer | undefined;
  let controller = new AbortController();
  let last: StepReport | undefined;
  let speed = 0;
  let best: number | undefined;
  /** What the run learns from. */
  let collection: Collection | undefined;
  const images = createImages(errors, waits);
  const runs = createRuns(() => {
    lossChart.forget();
    accuracyChart.forget();
  });

  function enter(next: State, text: string = next): void {
    state = next;
    chip.dataset.state = next;
    chip.textContent = text;
    const running = next === "training" || next === "paused";
    start.disabled = running || next === "starting";
    for (const button of [twins, loadRun]) button.disabled = start.disabled;
    single.disabled = next !== "paused";
    saveRun.disabled = use.disabled = !trainer || last === undefined || next === "starting";
    start.textContent = last && !running ? "Start again" : "Start training";
    pause.disabled = !running;
    pause.textContent = next === "paused" ? "Resume" : "Pause";
    stop.disabled = !running && next !== "starting";
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
    if (report.validation) {
      figures.heldOut.textContent = percent(report.validation.top1);
      best = Math.max(best ?? 0, report.validation.top1);
    }
    if (use.disabled) saveRun.disabled = use.disabled = false;
  }

  function reset(): void {
    trainer?.dispose();
    trainer?.network.dispose();
    trainer = undefined;
    last = undefined;
    speed = 0;
    best = undefined;
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
    hideKept();
    try {
      const data = await images.gather(chosen.data, controller);
      collection = data;
      const engine = { ...forced, backend: chosen.backend, signal };
      const wait = beginWait(waits, "Making the network", () => controller.abort());
      try {
        const onProgress = wait.progress;
        const network = checkpoint
          ? await Network.load(checkpoint, { ...engine, onProgress })
          : await Network.create(chosen.network, {
              ...engine,
              classes: data.labels,
              seed: chosen.seed,
              onProgress,
            });
        const { optimizer, schedule, augment, batchSize, seed } = chosen;
        // A checkpoint has all that, with what was changed while it ran.
        trainer = await network.trainer(checkpoint ? {} : { optimizer, schedule, augment, batchSize, seed });
      } finally {
        wait.end();
      }
      await fit(trainer, data, chosen);
      enter(signal.aborted ? "stopped" : "done");
      await forget();
    } catch (error) {
      if (isAbort(error)) enter(last ? "stopped" : "idle");
      else fail(error, chosen);
    } finally {
      if (last && collection)
        runs.add(chosen, collection.name, { steps: last.step, loss: last.loss, heldOut: best, speed });
    }
  }

  async function fit(trainer: Trainer, data: Collection, chosen: Settings): Promise<void> {
    const { epochs, patience } = chosen;
    const channels = trainer.network.input[0] ?? 1;
    const [train, heldOut] = [data.train, data.heldOut].map((part) => withChannels(part, channels)) as [
      typeof data.train,
      typeof data.train,
    ];
    const perEpoch = train.shape[0];
    const now = { epoch: 0, images: 0 };
    const watched = watch(trainer.network, heldOut);
    enter("training");
    const reports = trainer.fit(train, {
      epochs,
      validation: heldOut,
      signal: controller.signal,
      ...(patience > 0 && { patience }),
    });
    for await (const report of reports) {
      show(report);
      if (report.resumed) {
        const { reason, from } = report.resumed;
        showError(errors, `Went on from step ${count(from)} on a new GPU`, new Error(reason));
      }
      watched();
      if (report.validation || report.step % KEEP_EVERY === 0) void keepRun(trainer, chosen, report.step);
      if (report.epoch !== now.epoch) {
        Object.assign(now, { epoch: report.epoch, images: 0 });
        if (state === "training") enter("training", `epoch ${report.epoch} of ${epochs}`);
      }
      now.images += trainer.batchSize;
      bar.value = report.validation ? report.epoch / epochs : (report.epoch - 1 + now.images / perEpoch) / epochs;
      // What stops the engine meanwhile is told by the run itself, with its checkpoint.
      const judgement =
        report.validation && (await judge(trainer.network, heldOut, data.labels.length).catch(() => {}));
      if (judgement) showJudgement(judgement, heldOut, data.labels);
    }
  }

  /** For the page's next visit. */
  async function keepRun(trainer: Trainer, settings: Settings, step: number): Promise<void> {
    const checkpoint = await trainer.checkpoint().catch(() => undefined);
    if (!checkpoint || controller.signal.aborted) return;
    const data = isFetched(settings.data) ? undefined : collection;
    await keep({ checkpoint, settings, step, ...(data && { data }) });
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

  // --- runs that are kept ---

  const offer = byId("kept");

  function hideKept(): void {
    offer.hidden = true;
  }

  /** Goes on with a run of the page's last visit, or of a file. */
  function goOn({ checkpoint, settings: chosen, data }: Kept): void {
    if (data) images.bring(chosen.data, data);
    if (!images.has(chosen.data)) {
      const text = "its images were too many to be kept: choose them again, then go on";
      showError(errors, "Could not go on", new Error(text));
      return;
    }
    settings.write(chosen);
    void run(chosen, checkpoint);
  }

  void kept().then((run) => {
    if (!run || state !== "idle") return;
    byId("kept-text").textContent = `A run of ${run.settings.network} was interrupted after step ${count(run.step)}.`;
    offer.hidden = false;
    byId("kept-go-on").addEventListener("click", () => goOn(run));
  });
  byId("kept-discard").addEventListener("click", () => {
    hideKept();
    void forget();
  });

  saveRun.addEventListener("click", async () => {
    clearErrors(errors);
    try {
      if (trainer && last) saveFile(await trainer.checkpoint(), `${trainer.network.name}-step${last.step}.safetensors`);
    } catch (error) {
      showError(errors, "Could not save the checkpoint", error);
    }
  });
  const runFile = byId("run-file", HTMLInputElement);
  loadRun.addEventListener("click", () => runFile.click());
  runFile.addEventListener("change", async () => {
    const chosen = runFile.files?.[0];
    runFile.value = ""; // the same file can be chosen again
    const form = settings.read();
    if (!chosen || !form) return;
    clearErrors(errors);
    try {
      goOn(await keptIn(chosen, form, forced));
    } catch (error) {
      showError(errors, "Could not go on from the checkpoint", error);
    }
  });

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
  // Figure 9 of the notes, on a scale that fits minutes: the same recipe with and without shortcuts.
  twins.addEventListener("click", async () => {
    const chosen = settings.read();
    if (!chosen) return;
    await run({ ...chosen, network: "plain20" });
    if (state === "done") await run({ ...chosen, network: "resnet20" });
  });
  single.addEventListener("click", () => {
    // What waits is let through, and nothing after it.
    trainer?.resume();
    trainer?.pause();
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
