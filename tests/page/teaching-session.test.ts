// The actions that the page allows at each point of teaching own classes.
import { expect, test } from "vitest";
import { controls, type TeachingSession } from "../../www/src/teaching-session.js";

const fresh: TeachingSession = {
  busy: false,
  hasNetwork: true,
  counts: undefined,
  isTaught: false,
  isCameraOpen: false,
};
const allowed = (session: TeachingSession) => {
  const { canSetUp, canLearn, canUse, canAdd, canTake, canRemove } = controls(session);
  return { canSetUp, canLearn, canUse, canAdd, canTake, canRemove: canRemove("cat") };
};
const nothing = { canSetUp: false, canLearn: false, canUse: false, canAdd: false, canTake: false, canRemove: false };

test("classes can be set up once there is a network", () => {
  expect(allowed({ ...fresh, hasNetwork: false })).toEqual({ ...nothing, canAdd: true });
  expect(allowed(fresh)).toEqual({ ...nothing, canAdd: true, canSetUp: true });
});

test("learning needs a picture of every class", () => {
  expect(controls({ ...fresh, counts: { cat: 1, dog: 0 } }).canLearn).toBe(false);
  expect(controls({ ...fresh, counts: { cat: 1, dog: 2 } }).canLearn).toBe(true);
});

test("a picture can be removed from a class that has one, and taken while the camera is open", () => {
  const session = { ...fresh, counts: { cat: 1, dog: 0 } };
  expect(controls(session).canRemove("cat")).toBe(true);
  expect(controls(session).canRemove("dog")).toBe(false);
  expect(controls(session).canTake).toBe(false);
  expect(controls({ ...session, isCameraOpen: true }).canTake).toBe(true);
});

test("a taught network can be tried, and nothing can be done while a job runs", () => {
  const taught = { ...fresh, counts: { cat: 3, dog: 3 }, isTaught: true, isCameraOpen: true };
  expect(controls(taught).canUse).toBe(true);
  expect(allowed({ ...taught, busy: true })).toEqual(nothing);
});
