// 'Train it here': one run at a time, from a seed to a network that can be used.
import { ConvokeError, Network, type Trainer } from "convoke";
import type { Forced } from "./address.js";
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
import { count } from "./text.js";
import { controls, idle, next, type TrainingEvent } from "./training-session.js";
import { createTrainingView } from "./training-view.js";
import { beginWait } from "./waits.js";
import { watch } from "./watch.js";

/** Steps between two checkpoints that are kept for the page's next visit; each epoch's end is kept too. */
const KEEP_EVERY = 200;

export function setUpTraining(current: CurrentNetwork, forced: Forced, revive: () => void): void {
  const view = createTrainingView();
  const { errors, waits } = view;
  const settings = createSettings();
  let session = idle;
  let trainer: Trainer | undefined;
  let controller = new AbortController();
  /** The images of the run. */
  let collection: Collection | undefined;
  const images = createImages(errors, waits);
  const runs = createRuns(view.forgetRuns);

  /** Takes the session to its next state and draws it. */
  function happen(event: TrainingEvent): void {
    session = next(session, event);
    view.draw(session);
    settings.lock(!controls(session).canStart);
  }

  function reset(): void {
    trainer?.dispose();
    trainer?.network.dispose();
    trainer = undefined;
    view.clear();
    hideJudgement();
  }

  /** From random weights, or on from a checkpoint. */
  async function run(chosen: Settings, checkpoint?: Uint8Array): Promise<void> {
    clearErrors(errors);
    if (checkpoint) trainer?.dispose();
    else reset();
    controller = new AbortController();
    const { signal } = controller;
    happen({ type: "start", epochs: chosen.epochs, continues: checkpoint !== undefined });
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
        // A checkpoint holds these options, with the changes made during the run.
        trainer = await network.trainer(checkpoint ? {} : { optimizer, schedule, augment, batchSize, seed });
      } finally {
        wait.end();
      }
      await fit(trainer, data, chosen);
      happen({ type: "end", aborted: signal.aborted });
      await forget();
    } catch (error) {
      if (isAbort(error)) happen({ type: "end", aborted: true });
      else fail(error, chosen);
    } finally {
      const { last, best, speed } = session;
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
    const watched = watch(trainer.network, heldOut);
    happen({ type: "ready" });
    const reports = trainer.fit(train, {
      epochs,
      validation: heldOut,
      signal: controller.signal,
      ...(patience > 0 && { patience }),
    });
    for await (const report of reports) {
      happen({ type: "report", report, batchSize: trainer.batchSize, imagesPerEpoch: perEpoch });
      view.show(report, session);
      if (report.resumed) {
        const { reason, from } = report.resumed;
        showError(errors, `Went on from step ${count(from)} on a new GPU`, new Error(reason));
      }
      watched();
      if (report.validation || report.step % KEEP_EVERY === 0) void keepRun(trainer, chosen, report.step);
      // A failure of the engine is reported by the run itself, with its checkpoint.
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
    happen({ type: "fail" });
    const checkpoint = error instanceof ConvokeError ? error.checkpoint : undefined;
    const remedies: Remedy[] = [];
    if (checkpoint) {
      const resume = () => {
        revive(); // The classifier shared the crashed worker.
        void run(chosen, checkpoint);
      };
      remedies.push({ label: "Continue from the checkpoint", run: resume });
    }
    showError(errors, "Training stopped", error, ...remedies);
  }

  // --- runs that are kept ---

  const offer = byId("kept");

  function hideKept(): void {
    offer.hidden = true;
  }

  /** Resumes a run of the page's last visit, or of a file. */
  function resumeKept({ checkpoint, settings: chosen, data }: Kept): void {
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
    if (!run || session.state !== "idle") return;
    byId("kept-text").textContent = `A run of ${run.settings.network} was interrupted after step ${count(run.step)}.`;
    offer.hidden = false;
    byId("kept-go-on").addEventListener("click", () => resumeKept(run));
  });
  byId("kept-discard").addEventListener("click", () => {
    hideKept();
    void forget();
  });

  view.saveRun.addEventListener("click", async () => {
    clearErrors(errors);
    try {
      const { last } = session;
      if (trainer && last) saveFile(await trainer.checkpoint(), `${trainer.network.name}-step${last.step}.safetensors`);
    } catch (error) {
      showError(errors, "Could not save the checkpoint", error);
    }
  });
  const runFile = byId("run-file", HTMLInputElement);
  view.loadRun.addEventListener("click", () => runFile.click());
  runFile.addEventListener("change", async () => {
    const chosen = runFile.files?.[0];
    runFile.value = ""; // lets the user choose this file again
    const form = settings.read();
    if (!chosen || !form) return;
    clearErrors(errors);
    try {
      resumeKept(await keptIn(chosen, form, forced));
    } catch (error) {
      showError(errors, "Could not go on from the checkpoint", error);
    }
  });

  /** Gives the classifier a copy of the current weights, so that training may go on. */
  async function useIt(): Promise<void> {
    if (!trainer || !session.last) return;
    clearErrors(errors);
    const { step } = session.last;
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
    if (chosen && !view.start.disabled) void run(chosen);
  });
  // Figure 9 of the notes, on a scale that fits minutes: one recipe with and without shortcuts.
  view.twins.addEventListener("click", async () => {
    const chosen = settings.read();
    if (!chosen) return;
    await run({ ...chosen, network: "plain20" });
    if (session.state === "done") await run({ ...chosen, network: "resnet20" });
  });
  view.single.addEventListener("click", () => {
    // What waits is let through, and nothing after it.
    trainer?.resume();
    trainer?.pause();
  });
  settings.onLearningRate((value) => adjust((t) => (t.learningRate = value)));
  settings.onBatchSize((value) => adjust((t) => (t.batchSize = value)));

  function adjust(change: (trainer: Trainer) => void): void {
    if (!trainer || !controls(session).canAdjust) return;
    try {
      change(trainer);
    } catch (error) {
      showError(errors, "Could not change it", error);
    }
  }

  view.pause.addEventListener("click", () => {
    const paused = session.state === "paused";
    if (paused) trainer?.resume();
    else trainer?.pause();
    happen({ type: paused ? "resume" : "pause" });
  });
  view.stop.addEventListener("click", () => {
    if (session.state === "paused") trainer?.resume();
    controller.abort();
  });
  view.use.addEventListener("click", () => void useIt());
}
