// The page's state of a training run: which events change it, and which actions it then allows.

import { describe, expect, test } from "vitest";
import type { StepReport } from "../../pkg/npm/dist/index.js";
import { controls, idle, next, type TrainingEvent, type TrainingSession } from "../../www/src/training-session.js";

const report = (fields: Partial<StepReport> = {}): StepReport =>
  ({ step: 1, epoch: 1, loss: 1, accuracy: 0.5, learningRate: 0.1, samplesPerSecond: 100, ...fields }) as StepReport;

const start: TrainingEvent = { type: "start", epochs: 4, continues: false };
const step = (fields: Partial<StepReport> = {}): TrainingEvent => ({
  type: "report",
  report: report(fields),
  batchSize: 50,
  imagesPerEpoch: 100,
});
const sessionAfter = (...events: TrainingEvent[]): TrainingSession => events.reduce(next, idle);
const training = sessionAfter(start, { type: "ready" });

describe("a run", () => {
  test("goes from idle over starting to training, and each epoch renames it", () => {
    expect(idle.state).toBe("idle");
    expect(sessionAfter(start).state).toBe("starting");
    expect(training.label).toBe("training");
    expect(next(training, step()).label).toBe("epoch 1 of 4");
    expect(sessionAfter(start, { type: "ready" }, step(), step({ epoch: 2 })).label).toBe("epoch 2 of 4");
  });

  test("counts the images of an epoch, and a validation rounds up to its end", () => {
    const half = next(training, step());
    expect(half.progress).toBe(0.5 / 4);
    expect(next(half, step({ step: 2 })).progress).toBe(1 / 4);
    const validation = { loss: 1, top1: 0.75, top5: 1, samples: 10 };
    const judged = next(half, step({ step: 2, validation }));
    expect([judged.progress, judged.best]).toEqual([1 / 4, 0.75]);
    const worse = next(judged, step({ step: 3, epoch: 2, validation: { ...validation, top1: 0.5 } }));
    expect(worse.best).toBe(0.75);
  });

  test("averages the speed", () => {
    const first = next(training, step({ samplesPerSecond: 100 }));
    expect(first.speed).toBe(100);
    expect(next(first, step({ samplesPerSecond: 200 })).speed).toBeCloseTo(110);
  });

  test("pauses and resumes with the epoch it was in", () => {
    const paused = next(next(training, step({ epoch: 2 })), { type: "pause" });
    expect([paused.state, paused.label]).toEqual(["paused", "paused"]);
    expect(next(paused, step({ epoch: 3 })).label).toBe("paused");
    expect(next(paused, { type: "resume" }).label).toBe("epoch 2");
    expect(next(next(training, { type: "pause" }), { type: "resume" }).label).toBe("training");
  });

  test("ends done, stopped, or idle when no step was made", () => {
    const stepped = next(training, step());
    expect(next(stepped, { type: "end", aborted: false }).state).toBe("done");
    expect(next(stepped, { type: "end", aborted: true }).state).toBe("stopped");
    expect(next(sessionAfter(start), { type: "end", aborted: true }).state).toBe("idle");
  });

  test("keeps its figures when it continues from a checkpoint, and loses them when it starts anew", () => {
    const failed = next(next(training, step({ step: 7 })), { type: "fail" });
    const continued = next(failed, { type: "start", epochs: 4, continues: true });
    expect([continued.state, continued.last?.step]).toEqual(["starting", 7]);
    expect(next(failed, start).last).toBeUndefined();
  });

  test("ignores events that its state does not allow", () => {
    for (const event of [{ type: "pause" }, { type: "resume" }, { type: "ready" }, step()] as TrainingEvent[]) {
      expect(next(idle, event)).toBe(idle);
    }
    expect(next(training, start)).toBe(training);
    expect(next(idle, { type: "end", aborted: false })).toBe(idle);
  });
});

describe("the controls", () => {
  test("allow what each state can do", () => {
    const allowed = (session: TrainingSession) => {
      const { canStart, canPause, canStep, canStop, canSave, canAdjust } = controls(session);
      const names = {
        start: canStart,
        pause: canPause,
        step: canStep,
        stop: canStop,
        save: canSave,
        adjust: canAdjust,
      };
      return Object.entries(names)
        .filter(([, can]) => can)
        .map(([name]) => name);
    };
    const stepped = next(training, step());
    expect(allowed(idle)).toEqual(["start"]);
    expect(allowed(sessionAfter(start))).toEqual(["stop"]);
    expect(allowed(training)).toEqual(["pause", "stop", "adjust"]);
    expect(allowed(stepped)).toEqual(["pause", "stop", "save", "adjust"]);
    expect(allowed(next(stepped, { type: "pause" }))).toEqual(["pause", "step", "stop", "save", "adjust"]);
    expect(allowed(next(stepped, { type: "end", aborted: false }))).toEqual(["start", "save"]);
    expect(allowed(next(stepped, { type: "fail" }))).toEqual(["start", "save"]);
    expect(allowed(next(sessionAfter(start), { type: "fail" }))).toEqual(["start"]);
  });

  test("name the two buttons that have two meanings", () => {
    const stepped = next(training, step());
    const labels = (session: TrainingSession) => [controls(session).startLabel, controls(session).pauseLabel];
    expect(labels(idle)).toEqual(["Start training", "Pause"]);
    expect(labels(next(stepped, { type: "pause" }))).toEqual(["Start training", "Resume"]);
    expect(labels(next(stepped, { type: "end", aborted: false }))).toEqual(["Start again", "Pause"]);
  });
});
