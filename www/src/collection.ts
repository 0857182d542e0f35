// Labelled images for training, and their conversion to the input of a network.
import { ConvokeError, type TrainingData } from "convoke";

/** Where images come from. */
export type Kind = "digits" | "clothes" | "idx" | "folder";

/** Whether images of this kind come with the page. */
export const isFetched = (kind: Kind): boolean => kind === "digits" || kind === "clothes";

export interface Collection {
  /** The name that tables and sentences show. */
  name: string;
  train: TrainingData;
  heldOut: TrainingData;
  /** The names of the classes. */
  labels: string[];
  /** Files that could not be read. */
  skipped: string[];
}

/** The largest total size of images that the page holds in memory, in bytes. */
const MOST_BYTES = 2 ** 30;

/**
 * Returns the bytes that `count` images of a shape take.
 * @throws ConvokeError `too-large`, with the numbers, for more than the page holds.
 */
export function checkRoom(count: number, [c, h, w]: [number, number, number]): number {
  const bytes = count * c * h * w;
  if (bytes <= MOST_BYTES) return bytes;
  const actual = `${count} images of ${c}x${h}x${w}, ${bytes} bytes`;
  throw new ConvokeError("too-large", `images: expected at most ${MOST_BYTES} bytes, got ${actual}`, {
    expected: `at most ${MOST_BYTES} bytes`,
    actual,
  });
}

/** Converts images to the channels of a network: gray is repeated, colours are weighted by ITU-R BT.601. */
export function withChannels(data: TrainingData, channels: number): TrainingData {
  const [n, c, h, w] = data.shape;
  if (c === channels) return data;
  const area = h * w;
  checkRoom(n, [channels, h, w]);
  const images = new Uint8Array(n * channels * area);
  const from = data.images as Uint8Array;
  for (let i = 0; i < n; i++) {
    if (c === 1) {
      const gray = from.subarray(i * area, (i + 1) * area);
      for (let k = 0; k < channels; k++) images.set(gray, (i * channels + k) * area);
    } else {
      for (let p = 0; p < area; p++) {
        const [red, green, blue] = [0, 1, 2].map((k) => from[(i * c + k) * area + p]!) as [number, number, number];
        images[i * area + p] = Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
      }
    }
  }
  const repeated = (values: number[] = []) => (values.length === 0 ? [] : new Array<number>(channels).fill(values[0]!));
  return {
    images,
    labels: data.labels,
    shape: [n, channels, h, w],
    mean: repeated(data.mean),
    std: repeated(data.std),
  };
}

/** Training data from parts of one shape, all normalised by the mean and deviation of the first part. */
export function normalised(
  parts: { images: Uint8Array; labels: Uint32Array }[],
  shape: [number, number, number],
): TrainingData[] {
  const { images } = parts[0]!;
  let [sum, squares] = [0, 0];
  for (const byte of images) {
    sum += byte;
    squares += byte * byte;
  }
  const mean = sum / images.length / 255;
  const variance = squares / images.length / 255 ** 2 - mean ** 2;
  const std = Math.max(Math.sqrt(Math.max(variance, 0)), 0.01);
  return parts.map(({ images, labels }) => ({
    images,
    labels,
    shape: [labels.length, ...shape],
    mean: new Array<number>(shape[0]).fill(mean),
    std: new Array<number>(shape[0]).fill(std),
  }));
}
