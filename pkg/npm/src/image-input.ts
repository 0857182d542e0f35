// Images on their way from the page to the engine.
import { checkBytes, checkFloats, checkWhole, copyBytes, copyFloats, kindOf } from "./arguments.js";
import type { Connection } from "./connection.js";
import { ConvokeError, wrongArgument } from "./shared/errors.js";
import { isPixelData, isTensor, PIXELS_AS_STORED, type Pixels, undecodable } from "./shared/pixels.js";
import type { ImageSource, PixelData, TensorData } from "./shared/types.js";

type Prepared = Pixels | TensorData;

/**
 * Takes an image as it is now, ready to be sent: later changes of the source have no effect. Elements and bitmaps, which
 * the browser copies by itself, are ready a little later.
 */
export function takeImage(image: ImageSource, connection: Connection): Prepared | Promise<Prepared> {
  if (image === null || typeof image !== "object") throw notAnImage(image);
  if (isTensor(image)) {
    checkTensor(image);
    const data = copyFloats("data", image.data);
    return connection.transfer({ data, shape: [...image.shape] }, [data.buffer]);
  }
  if (isPixelData(image)) {
    const pixels = copyPixels(image);
    return connection.transfer(pixels, [pixels.data.buffer as ArrayBuffer]);
  }
  if (image instanceof Blob) {
    if (image.size === 0) throw undecodable("an empty file");
    checkBytes("image", image.size);
    return image;
  }
  if (typeof createImageBitmap !== "function") throw notAnImage(image);
  return copyBitmap(image).then((bitmap) => connection.transfer(bitmap, [bitmap]));
}

/** Checks the types of a tensor. The engine compares its shape with the network's. */
export function checkTensor({ data, shape }: TensorData): void {
  checkFloats("data", data);
  if (!Array.isArray(shape) || !shape.every((d) => Number.isInteger(d) && d > 0 && d < 2 ** 31)) {
    throw wrongArgument("shape", "an array of whole numbers from 1, batch first", shapeText(shape));
  }
}

function shapeText(shape: unknown): string {
  return Array.isArray(shape)
    ? `[${shape.map((d) => (typeof d === "number" ? d : kindOf(d))).join(", ")}]`
    : kindOf(shape);
}

function copyPixels({ data, width, height }: PixelData): PixelData {
  const bytes = copyBytes("image.data", data);
  for (const [name, value] of Object.entries({ width, height })) {
    checkWhole(
      `image.${name}`,
      typeof value === "number" ? value : kindOf(value),
      "a whole number from 1 to 2^29",
      1,
      2 ** 29,
    );
  }
  const expected = 4 * width * height;
  if (bytes.length !== expected) {
    const text = `image.data: expected ${expected} bytes, four for each of ${width}x${height} pixels, got ${bytes.length}`;
    throw new ConvokeError("shape", text, { name: "image.data", expected: `${expected}`, actual: `${bytes.length}` });
  }
  return { data: bytes, width, height };
}

type Drawable = Exclude<ImageSource, PixelData | Blob | TensorData>;

/** Copies the present pixels of an element, a bitmap or a frame, without reading them on the page's thread. */
async function copyBitmap(image: Drawable): Promise<ImageBitmap> {
  if (typeof ImageBitmap === "function" && image instanceof ImageBitmap && image.width === 0) {
    throw undecodable("a bitmap that was closed");
  }
  try {
    if (typeof HTMLImageElement === "function" && image instanceof HTMLImageElement) {
      if (!image.complete) await image.decode();
      if (image.naturalWidth === 0) throw undecodable("an image element without an image, or without a size");
    }
    const bitmap = await createImageBitmap(image, PIXELS_AS_STORED);
    checkReadable(bitmap);
    return bitmap;
  } catch (cause) {
    throw undecodable(cause);
  }
}

/** Throws for a bitmap with pixels of another origin, which no message takes and no canvas gives out. */
function checkReadable(bitmap: ImageBitmap): void {
  if (typeof OffscreenCanvas !== "function") return;
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  context?.drawImage(bitmap, 0, 0, 1, 1);
  try {
    context?.getImageData(0, 0, 1, 1);
  } catch {
    bitmap.close();
    throw undecodable('pixels of another origin: serve the image with CORS and load it with crossorigin="anonymous"');
  }
}

function notAnImage(image: unknown): ConvokeError {
  const expected = "an ImageData, ImageBitmap, image or canvas element, Blob, or { data, shape }";
  return wrongArgument("image", expected, kindOf(image));
}
