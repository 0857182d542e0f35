// Training data on its way from the page to the engine.
import { checkArray, copyBytes, copyFloats, kindOf } from "./arguments.js";
import type { CheckedData } from "./shared/engine-rpc.js";
import { ConvokeError, wrongArgument } from "./shared/errors.js";
import type { TrainingData } from "./shared/types.js";

/** Checks types, shape and labels, and copies them. Shapes that do not fit the network are refused by the engine. */
export function takeData(data: TrainingData): CheckedData {
  if (data === null || typeof data !== "object") throw wrongArgument("data", "{ images, labels, shape }", kindOf(data));
  const { images, labels, shape, mean = [], std = [] } = data;
  checkArray("images", images, ["Uint8Array", "Float32Array"], "a Uint8Array or Float32Array");
  const isShape =
    Array.isArray(shape) && shape.length === 4 && shape.every((d) => Number.isInteger(d) && d >= 0 && d < 2 ** 31);
  if (!isShape)
    throw wrongArgument("shape", "[N, C, H, W]", Array.isArray(shape) ? `[${shape.map(String)}]` : kindOf(shape));
  const isList = labels !== null && typeof labels === "object" && "length" in labels;
  if (!isList) throw wrongArgument("labels", "an array of numbers", kindOf(labels));
  if (labels.length !== shape[0]) throw wrongArgument("labels", `${shape[0]}, one for each image`, labels.length);
  for (const [name, numbers] of Object.entries({ mean, std })) {
    const isNumbers = Array.isArray(numbers) && numbers.every((v) => typeof v === "number");
    if (!isNumbers) throw wrongArgument(name, "an array of numbers", kindOf(numbers));
  }
  const copied = kindOf(images) === "Uint8Array" ? copyBytes("images", images) : copyFloats("images", images);
  return { images: copied, labels: wholeLabels(labels), shape: [...shape], mean: [...mean], std: [...std] };
}

function wholeLabels(labels: ArrayLike<number>): Uint32Array {
  const whole = new Uint32Array(labels.length);
  for (let index = 0; index < labels.length; index++) {
    const label = labels[index]!;
    if (!Number.isInteger(label) || label < 0 || label >= 2 ** 32) {
      const expected = "a whole number from 0";
      const text = `label ${String(label)} of sample ${index}: expected ${expected}`;
      throw new ConvokeError("label", text, { index, label, expected, actual: String(label) });
    }
    whole[index] = label;
  }
  return whole;
}

/** Returns the buffers of taken data, which no other code has. */
export function buffersOf({ images, labels }: CheckedData): ArrayBuffer[] {
  return [images.buffer as ArrayBuffer, labels.buffer as ArrayBuffer];
}
