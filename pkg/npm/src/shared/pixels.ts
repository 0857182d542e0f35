// Images as they cross from the page to the engine.
import { type ConvokeError, message, wrongArgument } from "./errors.js";
import type { PixelData, TensorData } from "./types.js";

/** An image that can be posted to the worker. */
export type Pixels = PixelData | ImageBitmap | Blob;

export function isTensor(image: object): image is TensorData {
  return typeof image === "object" && image !== null && "shape" in image && "data" in image;
}

export function isPixelData(image: object): image is PixelData {
  return "data" in image && ArrayBuffer.isView(image.data) && "width" in image && "height" in image;
}

export function undecodable(cause: unknown): ConvokeError {
  return wrongArgument("image", "an image that can be decoded", message(cause));
}
