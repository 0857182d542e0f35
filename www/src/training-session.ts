// The states of a training run, and the actions that each allows. Nothing here touches the page or the engine.
import type { StepReport } from "convoke";

/** `idle` before the first run; `starting` until the engine is ready; `failed` after an error. */
export type TrainingState = "idle" | "starting" | "training" | "paused" | "stopped" | "done" | "failed";

export interface TrainingSession {
  readonly state: TrainingState;
  /** The text that names the state. */
  readonly label: string;
  /** The epochs that the run is to last. */
  readonly epochs: number;
  /** The last step; undefined before the first one. */
  readonly last: StepReport | undefined;
  /** Images per second, averaged over about the last ten steps; 0 before the first one. */
  readonly speed: number;
  /** The best top-1 accuracy on the held-out images, 0 to 1. */
  readonly best: number | undefined;
  /** The part of the run that is done, 0 to 1. */
  readonly progress: number;
  /** Images of the current epoch that are done. */
  readonly imagesOfEpoch: number;
}

export type TrainingEvent =
  /** A run begins: from new weights, or, with `continues`, from the checkpoint of the run before. */
  | { type: "start"; epochs: number; continues: boolean }
  /** The engine is ready to train. */
  | { type: "ready" }
  | { type: "report"; report: StepReport; batchSize: number; imagesPerEpoch: number }
  | { type: "pause" }
  | { type: "resume" }
  /** The run ended without an error; `aborted` when it was stopped before its last epoch. */
  | { type: "end"; aborted: boolean }
  | { type: "fail" };

export const idle: TrainingSession = {
  state: "idle",
  label: "idle",
  epochs: 0,
  last: undefined,
  speed: 0,
  best: undefined,
  progress: 0,
  imagesOfEpoch: 0,
};

/** The weight of the newest step in the averaged speed. */
const NEWEST = 0.1;

/** The session after an event. An event that the state does not allow changes nothing. */
export function next(session: TrainingSession, event: TrainingEvent): TrainingSession {
  const enter = (state: TrainingState, label: string = state) => ({ ...session, state, label });
  switch (event.type) {
    case "start": {
      if (isBusy(session)) return session;
      const from = event.continues ? session : idle;
      return { ...from, state: "starting", label: "starting", epochs: event.epochs, imagesOfEpoch: 0 };
    }
    case "ready":
      return session.state === "starting" ? enter("training") : session;
    case "report":
      return isRunning(session) ? reported(session, event) : session;
    case "pause":
      return session.state === "training" ? enter("paused") : session;
    case "resume":
      if (session.state !== "paused") return session;
      return enter("training", session.last ? `epoch ${session.last.epoch}` : "training");
    case "end":
      if (!isBusy(session)) return session;
      if (!event.aborted) return enter("done");
      return enter(session.last ? "stopped" : "idle");
    case "fail":
      return enter("failed");
  }
}

function reported(
  session: TrainingSession,
  { report, batchSize, imagesPerEpoch }: Extract<TrainingEvent, { type: "report" }>,
): TrainingSession {
  const { state, epochs, speed, best, last } = session;
  const begins = report.epoch !== last?.epoch;
  const imagesOfEpoch = (begins ? 0 : session.imagesOfEpoch) + batchSize;
  const top1 = report.validation?.top1;
  const done = report.validation ? report.epoch : report.epoch - 1 + imagesOfEpoch / imagesPerEpoch;
  return {
    ...session,
    label: begins && state === "training" ? `epoch ${report.epoch} of ${epochs}` : session.label,
    last: report,
    speed: speed === 0 ? report.samplesPerSecond : speed + NEWEST * (report.samplesPerSecond - speed),
    best: top1 === undefined ? best : Math.max(best ?? 0, top1),
    progress: Math.min(done / epochs, 1),
    imagesOfEpoch,
  };
}

const isRunning = ({ state }: TrainingSession): boolean => state === "training" || state === "paused";

/** Whether a run is under way, so that no other can start. */
export const isBusy = (session: TrainingSession): boolean => isRunning(session) || session.state === "starting";

export interface TrainingControls {
  startLabel: string;
  pauseLabel: string;
  /** Starting a run, the pair of runs, and loading a checkpoint. */
  canStart: boolean;
  canPause: boolean;
  /** Making one step of a paused run. */
  canStep: boolean;
  canStop: boolean;
  /** Saving the run and using its network. */
  canSave: boolean;
  /** Changing the learning rate and the batch size of the run. */
  canAdjust: boolean;
}

/** The actions that a session allows, and the labels of the buttons that have two. */
export function controls(session: TrainingSession): TrainingControls {
  const running = isRunning(session);
  return {
    startLabel: session.last && !running ? "Start again" : "Start training",
    pauseLabel: session.state === "paused" ? "Resume" : "Pause",
    canStart: !isBusy(session),
    canPause: running,
    canStep: session.state === "paused",
    canStop: isBusy(session),
    canSave: session.last !== undefined && session.state !== "starting",
    canAdjust: running,
  };
}
