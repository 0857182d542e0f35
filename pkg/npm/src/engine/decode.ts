// Decodes images into RGBA bytes.
import { isPixelData, type Pixels, undecodable } from "../shared/pixels.js";

/** The RGBA bytes of an image, row by row. */
export interface Rgba {
  data: Uint8Array;
  width: number;
  height: number;
}

/** Returns the bytes of an image. A bitmap that is made here is closed here. */
export async function decode(image: Pixels): Promise<Rgba> {
  if (isPixelData(image)) {
    const { data, width, height } = image;
    return { data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength), width, height };
  }
  if (typeof OffscreenCanvas !== "function")
    throw undecodable("there is no OffscreenCanvas here: pass { data, width, height }");
  const bitmap = image instanceof Blob ? await bitmapOf(image) : image;
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  if (!context) throw undecodable("a canvas could not be created");
  context.drawImage(bitmap, 0, 0);
  if (bitmap !== image) bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  return { data: new Uint8Array(data.buffer), width, height };
}

async function bitmapOf(blob: Blob): Promise<ImageBitmap> {
  try {
    return await createImageBitmap(blob);
  } catch (cause) {
    throw undecodable(cause);
  }
}
