// Decodes images into RGBA bytes.

import { isPixelData, PIXELS_AS_STORED, type Pixels, undecodable } from "../shared/pixels.js";
import { takeOrientation, upright } from "./orientation.js";

/** The RGBA bytes of an image, row by row. */
export interface Rgba {
  data: Uint8Array;
  width: number;
  height: number;
}

/** Returns the bytes of an image. A bitmap is closed: the caller copied it for this call. */
export async function decode(image: Pixels): Promise<Rgba> {
  if (isPixelData(image)) {
    const { data, width, height } = image;
    return { data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength), width, height };
  }
  if (typeof OffscreenCanvas !== "function")
    throw undecodable("there is no OffscreenCanvas here: pass { data, width, height }");
  const { bitmap, orientation } = image instanceof Blob ? await bitmapOf(image) : { bitmap: image, orientation: 1 };
  try {
    const isTurned = orientation >= 5;
    const [width, height] = isTurned ? [bitmap.height, bitmap.width] : [bitmap.width, bitmap.height];
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    if (!context) throw undecodable("a canvas could not be created");
    context.setTransform(...upright(orientation, bitmap.width, bitmap.height));
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    return { data: new Uint8Array(data.buffer), width, height };
  } catch (cause) {
    throw undecodable(cause);
  } finally {
    bitmap.close();
  }
}

async function bitmapOf(blob: Blob): Promise<{ bitmap: ImageBitmap; orientation: number }> {
  try {
    const file = new Uint8Array(await blob.arrayBuffer());
    const orientation = takeOrientation(file);
    const upright = orientation === 1 ? blob : new Blob([file], { type: blob.type });
    return { bitmap: await createImageBitmap(upright, PIXELS_AS_STORED), orientation };
  } catch (cause) {
    throw undecodable(cause);
  }
}
