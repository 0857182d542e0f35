// Data sets that come with the page: each is fetched once, when it is first asked for.
import { ConvokeError, type TrainingData } from "convoke";

export interface DataSet {
  train: TrainingData;
  heldOut: TrainingData;
  /** Of the classes. */
  labels: string[];
}

/** One file of a data set: all images, then all labels, a byte each. */
interface Part {
  file: string;
  count: number;
  bytes: number;
  sha256: string;
}

interface Description {
  shape: [number, number, number];
  classes: string[];
  preprocess: { mean: number[]; std: number[] };
  train: Part;
  heldout: Part;
}

const kept = new Map<string, DataSet>();

export async function loadDataSet(
  name: "mnist" | "fashion-mnist",
  onProgress: (loaded: number, total: number | undefined) => void,
  signal: AbortSignal,
): Promise<DataSet> {
  const known = kept.get(name);
  if (known) return known;
  const description: Description = await (await request(`data/${name}.json`, signal)).json();
  const total = description.train.bytes + description.heldout.bytes;
  let loaded = 0;
  const load = async (part: Part) => {
    const response = await request(`data/${part.file}`, signal);
    const bytes = await readBody(response, (arrived) => {
      loaded += arrived;
      onProgress(loaded, total);
    });
    await verify(bytes, part, response.url);
    return unpack(bytes, part, description);
  };
  try {
    const [train, heldOut] = await Promise.all([load(description.train), load(description.heldout)]);
    const set = { train, heldOut, labels: description.classes };
    kept.set(name, set);
    return set;
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof TypeError ? new ConvokeError("network", `the connection broke: ${error.message}`) : error;
  }
}

async function request(path: string, signal: AbortSignal): Promise<Response> {
  const url = new URL(path, document.baseURI);
  let response: Response;
  try {
    response = await fetch(url, { signal });
  } catch (cause) {
    signal.throwIfAborted();
    throw new ConvokeError("network", `${url.href}: ${cause}`, { url: url.href });
  }
  if (!response.ok) {
    const actual = `${response.status} ${response.statusText}`.trimEnd();
    throw new ConvokeError("http", `${url.href}: the server answered ${actual}`, { url: url.href, actual });
  }
  if (response.headers.get("Content-Type")?.startsWith("text/html")) {
    throw new ConvokeError("html", `${url.href}: expected images, got an HTML page: wrong path?`, { url: url.href });
  }
  return response;
}

async function readBody(response: Response, arrived: (bytes: number) => void): Promise<Uint8Array<ArrayBuffer>> {
  const counted = response.body!.pipeThrough(
    new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform(chunk, out) {
        arrived(chunk.length);
        out.enqueue(chunk);
      },
    }),
  );
  return new Uint8Array(await new Response(counted).arrayBuffer());
}

async function verify(bytes: Uint8Array<ArrayBuffer>, part: Part, url: string): Promise<void> {
  if (bytes.length !== part.bytes) {
    const details = { url, expected: `${part.bytes} bytes`, actual: `${bytes.length} bytes` };
    throw new ConvokeError("network", `${url}: expected ${details.expected}, got ${details.actual}`, details);
  }
  // Browsers hash on secure pages only.
  if (!globalThis.crypto?.subtle) return;
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const actual = Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (actual === part.sha256) return;
  const details = { url, expected: part.sha256, actual };
  throw new ConvokeError("integrity", `${url}: SHA-256 mismatch: expected ${part.sha256}, got ${actual}`, details);
}

function unpack(bytes: Uint8Array, part: Part, { shape, preprocess }: Description): TrainingData {
  const images = bytes.length - part.count;
  return {
    images: bytes.subarray(0, images),
    labels: bytes.subarray(images),
    shape: [part.count, ...shape],
    mean: preprocess.mean,
    std: preprocess.std,
  };
}
