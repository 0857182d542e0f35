// Images, tensors and classes.

/** Numbers with a shape, row-major. Batches of images are `[N, C, H, W]`. */
export interface TensorData {
  /** The numbers. Their count is the product of `shape`. */
  data: Float32Array;
  /** The size of each dimension, batch first. */
  shape: number[];
}

/** RGBA bytes, row by row. An `ImageData` is a `PixelData`. */
export interface PixelData {
  /** Four bytes for each pixel: red, green, blue, alpha. */
  data: Uint8ClampedArray | Uint8Array;
  /** Pixels in a row. */
  width: number;
  /** Rows. */
  height: number;
}

/** An image for `classify` and the other methods. A tensor is taken as it is, any other image is preprocessed. */
export type ImageSource =
  | PixelData
  | ImageBitmap
  | HTMLImageElement
  | HTMLCanvasElement
  | HTMLVideoElement
  | OffscreenCanvas
  | VideoFrame
  | Blob
  | TensorData;

/** One class in the answer of `classify`. */
export interface Classification {
  /** The class's name, or its index as text where the model has no names. */
  label: string;
  /** The class's index, from 0. */
  index: number;
  /** 0 to 1: the softmax of logits, or the network's own output where it ends in a softmax or a sigmoid. */
  probability: number;
}

/** Options of `classify`. */
export interface ClassifyOptions {
  /**
   * Number of classes in the answer, the likeliest first; at least 1.
   *
   * @defaultValue `5`
   * @example { top: 1 }
   */
  top?: number;
}
