// Images as RGBA bytes.
import { type ConvokeError, message, wrongArgument } from "./errors.js";
import type { ImageSource, PixelData, TensorData } from "./types.js";

/** An image that can cross to the worker. */
export type Pixels = PixelData | ImageBitmap | Blob;

type Bytes = Uint8ClampedArray | Uint8Array;

/** On the page: what only a page has becomes an `ImageBitmap`, without reading its pixels there. */
export async function portable(image: ImageSource): Promise<Pixels | TensorData> {
  if (image === null || typeof image !== "object") throw notAnImage(image);
  if (isTensor(image)) return image;
  if (isPixels(image)) return { data: image.data, width: image.width, height: image.height };
  if (typeof Blob === "function" && image instanceof Blob) return image;
  if (typeof ImageBitmap === "function" && image instanceof ImageBitmap) return image;
  if (typeof createImageBitmap !== "function") throw notAnImage(image);
  if (typeof HTMLImageElement === "function" && image instanceof HTMLImageElement) await image.decode();
  try {
    return await createImageBitmap(image as ImageBitmapSource);
  } catch (cause) {
    throw unreadable(cause);
  }
}

/** In the engine: the bytes. The bitmap is closed when it was made for this. */
export async function pixelsOf(image: Pixels): Promise<{ data: Uint8Array; width: number; height: number }> {
  if (isPixels(image)) {
    const { data, width, height } = image;
    return { data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength), width, height };
  }
  if (typeof OffscreenCanvas !== "function")
    throw unreadable("there is no OffscreenCanvas here: pass { data, width, height }");
  const bitmap = image instanceof Blob ? await decode(image) : image;
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  if (!context) throw unreadable("a canvas could not be made");
  context.drawImage(bitmap, 0, 0);
  if (bitmap !== image) bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  return { data: new Uint8Array(data.buffer), width, height };
}

async function decode(blob: Blob): Promise<ImageBitmap> {
  try {
    return await createImageBitmap(blob);
  } catch (cause) {
    throw unreadable(cause);
  }
}

export function isTensor(image: object): image is TensorData {
  return typeof image === "object" && image !== null && "shape" in image && "data" in image;
}

function isPixels(image: object): image is { data: Bytes; width: number; height: number } {
  return "data" in image && ArrayBuffer.isView(image.data) && "width" in image && "height" in image;
}

function notAnImage(image: unknown): ConvokeError {
  const expected = "an ImageData, ImageBitmap, image or canvas element, Blob, or { data, shape }";
  return wrongArgument("image", expected, image === null ? "null" : typeof image);
}

function unreadable(cause: unknown): ConvokeError {
  return wrongArgument("image", "one that can be decoded", message(cause));
}
