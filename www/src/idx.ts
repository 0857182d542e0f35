// Images and labels in the files of MNIST and its relatives (http://yann.lecun.com/exdb/mnist: IDX), plain or gzipped.
import { ConvokeError } from "convoke";
import { type Collection, checkRoom, normalised } from "./collection.js";

const IMAGES = 0x0803;
const LABELS = 0x0801;
/** Every nth image is held out where there is one pair of files. */
const HELD_OUT = 10;

interface Images {
  count: number;
  height: number;
  width: number;
  bytes: Uint8Array;
}

/** Images and labels; with a second pair whose names say `t10k` or `test` to judge by, or some of the first pair's. */
export async function readIdx(files: readonly File[]): Promise<Collection> {
  const read = await Promise.all(files.map(async (file) => ({ file, bytes: await unpacked(file) })));
  const test = read.filter(({ file }) => /t10k|test/i.test(file.name));
  const train = read.filter((part) => !test.includes(part));
  const main = pair(train);
  const own = test.length > 0 ? pair(test) : undefined;
  const { height, width } = main.images;
  if (own && (own.images.height !== height || own.images.width !== width)) {
    throw wrong("images to judge by", `${height}x${width}, as the others`, `${own.images.height}x${own.images.width}`);
  }
  const [training, heldOut] = own ? [main, own] : split(main);
  const classes = Math.max(...main.labels, ...(own?.labels ?? [])) + 1;
  const parts = [training, heldOut].map(({ images, labels }) => ({
    images: images.bytes,
    labels: Uint32Array.from(labels),
  }));
  const [first, second] = normalised(parts, [1, height, width]);
  const labels = Array.from({ length: Math.max(classes, 2) }, (_, i) => `${i}`);
  const name = files[0]?.name.replace(/-?(images|labels).*$/i, "") || "own files";
  return { name, train: first!, heldOut: second!, labels, skipped: [] };
}

async function unpacked(file: File): Promise<Uint8Array> {
  const start = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  if (start[0] !== 0x1f || start[1] !== 0x8b) return new Uint8Array(await file.arrayBuffer());
  try {
    return new Uint8Array(await new Response(file.stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
  } catch (error) {
    throw wrong(file.name, "a gzipped file", `${error}`);
  }
}

function pair(read: { file: File; bytes: Uint8Array }[]): { images: Images; labels: Uint8Array } {
  let [images, labels]: [Images | undefined, Uint8Array | undefined] = [undefined, undefined];
  for (const { file, bytes } of read) {
    const magic = number(bytes, 0);
    if (magic === IMAGES && !images) images = imagesOf(file.name, bytes);
    else if (magic === LABELS && !labels) labels = labelsOf(file.name, bytes);
    else throw wrong(file.name, "one file of images (IDX 0803) and one of labels (IDX 0801)", hex(bytes));
  }
  if (!images || !labels)
    throw wrong("files", "one of images and one of labels", read.map((r) => r.file.name).join(", ") || "none");
  if (images.count !== labels.length) throw wrong("labels", `${images.count}, as many as images`, labels.length);
  if (images.count < 2) throw wrong("images", "at least 2", images.count);
  return { images, labels };
}

function imagesOf(name: string, bytes: Uint8Array): Images {
  const [count, height, width] = [number(bytes, 4), number(bytes, 8), number(bytes, 12)];
  const needed = checkRoom(count, [1, height, width]);
  if (bytes.length - 16 !== needed) throw wrong(name, `${needed} bytes of images`, bytes.length - 16);
  return { count, height, width, bytes: bytes.subarray(16) };
}

function labelsOf(name: string, bytes: Uint8Array): Uint8Array {
  const count = number(bytes, 4);
  if (bytes.length - 8 !== count) throw wrong(name, `${count} labels`, bytes.length - 8);
  return bytes.subarray(8);
}

function split({ images, labels }: { images: Images; labels: Uint8Array }) {
  const size = images.height * images.width;
  const part = (chosen: (i: number) => boolean) => {
    const which = Array.from(labels.keys()).filter(chosen);
    const bytes = new Uint8Array(which.length * size);
    which.forEach((i, at) => {
      bytes.set(images.bytes.subarray(i * size, (i + 1) * size), at * size);
    });
    return { images: { ...images, count: which.length, bytes }, labels: Uint8Array.from(which, (i) => labels[i]!) };
  };
  const last = Math.min(HELD_OUT, labels.length) - 1;
  return [part((i) => i % HELD_OUT !== last), part((i) => i % HELD_OUT === last)] as const;
}

function number(bytes: Uint8Array, at: number): number {
  return bytes.length < at + 4 ? -1 : new DataView(bytes.buffer, bytes.byteOffset).getUint32(at);
}

function hex(bytes: Uint8Array): string {
  return `a file that begins with ${Array.from(bytes.subarray(0, 4), (b) => b.toString(16).padStart(2, "0")).join(" ")}`;
}

function wrong(what: string, expected: string, actual: string | number): ConvokeError {
  return new ConvokeError("format", `${what}: expected ${expected}, got ${actual}`, { expected, actual: `${actual}` });
}
