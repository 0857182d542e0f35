// Training data on its way from the page to the engine.
import type { CheckedData } from "./shared/engine-rpc.js";
import { ConvokeError, wrongArgument } from "./shared/errors.js";
import type { TrainingData } from "./shared/types.js";

/** Checks types, shape and labels. Shapes that do not fit the network are refused by the engine. */
export function checkData({ images, labels, shape, mean = [], std = [] }: TrainingData): CheckedData {
  if (!(images instanceof Uint8Array || images instanceof Float32Array)) {
    throw wrongArgument("images", "a Uint8Array or Float32Array", typeof images);
  }
  const isShape = shape?.length === 4 && shape.every((d) => Number.isInteger(d) && d >= 0 && d < 2 ** 31);
  if (!isShape) throw wrongArgument("shape", "[N, C, H, W]", JSON.stringify(shape));
  if (labels.length !== shape[0]) throw wrongArgument("labels", `${shape[0]}, one for each image`, labels.length);
  return { images, labels: wholeLabels(labels), shape: [...shape], mean, std };
}

function wholeLabels(labels: ArrayLike<number>): Uint32Array {
  const whole = new Uint32Array(labels.length);
  for (let index = 0; index < labels.length; index++) {
    const label = labels[index]!;
    if (!Number.isInteger(label) || label < 0 || label >= 2 ** 32) {
      const expected = "a whole number from 0";
      const text = `label ${label} of sample ${index}: expected ${expected}`;
      throw new ConvokeError("label", text, { index, label, expected, actual: `${label}` });
    }
    whole[index] = label;
  }
  return whole;
}
