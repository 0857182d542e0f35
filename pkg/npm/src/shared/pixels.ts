// Images as they cross from the page to the engine.
import { ConvokeError, message, wrongArgument } from "./errors.js";
import type { PixelData, TensorData } from "./types.js";

/** An image that can be posted to the worker. */
export type Pixels = PixelData | ImageBitmap | Blob;

export function isTensor(image: object): image is TensorData {
  return typeof image === "object" && image !== null && "shape" in image && "data" in image;
}

export function isPixelData(image: object): image is PixelData {
  return "data" in image && "width" in image && "height" in image;
}

/** Options of `createImageBitmap`: the stored values, whatever colour profile or gamma a file names. */
export const PIXELS_AS_STORED: ImageBitmapOptions = { colorSpaceConversion: "none", premultiplyAlpha: "none" };

/** Returns the error of an image that gives no pixels; a `ConvokeError` is returned as it is. */
export function undecodable(cause: unknown): ConvokeError {
  if (cause instanceof ConvokeError) return cause;
  return wrongArgument("image", "an image that can be decoded", message(cause));
}
