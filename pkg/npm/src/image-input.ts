// Images on their way from the page to the engine.
import type { Connection } from "./connection.js";
import { type ConvokeError, wrongArgument } from "./shared/errors.js";
import { isPixelData, isTensor, type Pixels, undecodable } from "./shared/pixels.js";
import type { ImageSource, TensorData } from "./shared/types.js";

/** Returns `image` ready to be sent. A bitmap that is made here is transferred; a bitmap of the caller is copied. */
export async function prepareImage(image: ImageSource, connection: Connection): Promise<Pixels | TensorData> {
  const prepared = await portable(image);
  if (isTensor(prepared)) checkTensor(prepared);
  return connection.transfer(prepared, prepared !== image && "close" in prepared ? [prepared] : []);
}

export function checkTensor({ data, shape }: TensorData): void {
  if (!(data instanceof Float32Array)) throw wrongArgument("data", "a Float32Array", typeof data);
  if (!Array.isArray(shape) || !shape.every((d) => Number.isInteger(d) && d > 0 && d < 2 ** 31)) {
    throw wrongArgument("shape", "an array of whole numbers from 1, batch first", JSON.stringify(shape));
  }
}

/** Turns elements, which only a page has, into an `ImageBitmap`, without reading pixels on the page's thread. */
async function portable(image: ImageSource): Promise<Pixels | TensorData> {
  if (image === null || typeof image !== "object") throw notAnImage(image);
  if (isTensor(image)) return image;
  if (isPixelData(image)) return { data: image.data, width: image.width, height: image.height };
  if (typeof Blob === "function" && image instanceof Blob) return image;
  if (typeof ImageBitmap === "function" && image instanceof ImageBitmap) return image;
  if (typeof createImageBitmap !== "function") throw notAnImage(image);
  if (typeof HTMLImageElement === "function" && image instanceof HTMLImageElement) await image.decode();
  try {
    return await createImageBitmap(image as ImageBitmapSource);
  } catch (cause) {
    throw undecodable(cause);
  }
}

function notAnImage(image: unknown): ConvokeError {
  const expected = "an ImageData, ImageBitmap, image or canvas element, Blob, or { data, shape }";
  return wrongArgument("image", expected, image === null ? "null" : typeof image);
}
