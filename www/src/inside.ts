// The view into the network in use: classes of a picture, the time of each layer, and any layer's feature maps.
import type { TensorData } from "convoke";
import { createBars } from "./bars.js";
import type { CurrentNetwork } from "./current.js";
import { toImage } from "./digit.js";
import { byId, context2d } from "./dom.js";
import { clearErrors, showError } from "./errors.js";
import { latestOnly } from "./latest.js";
import { showTimes } from "./layers.js";
import { samples } from "./samples.js";
import { beginWait } from "./waits.js";

/** The likeliest classes that are shown. */
const TOP = 5;
/** The most maps of a layer that are drawn. */
const MOST_MAPS = 256;

type Picture = ImageData | ImageBitmap;

export function setUpInside(current: CurrentNetwork): void {
  const errors = byId("network-errors");
  const answer = byId("picture-answer");
  const bars = createBars(answer);
  const figure = byId("maps");
  const input = byId("picture", HTMLInputElement);
  let picture: Picture = toImage(samples[3]?.pixels ?? new Uint8Array(28 * 28));
  let layer: string | undefined;

  const look = latestOnly(async () => {
    const network = current.get()?.network;
    if (!network) return;
    try {
      const seen = picture;
      bars.show(await network.classify(seen, { top: TOP }));
      if (network.backend === "cpu") showTimes(byId("layers"), byId("layers-total"), await network.profile(seen));
      if (layer) drawMaps(undefined);
      if (seen === picture && network === current.get()?.network) answer.ariaBusy = "false";
    } catch (error) {
      if (network === current.get()?.network) showError(errors, "Could not look at the picture", error);
    }
  });

  function lookAgain(): void {
    answer.ariaBusy = "true"; // until the answer belongs to this picture and network
    look(undefined);
  }

  const drawMaps = latestOnly(async () => {
    const network = current.get()?.network;
    if (!network || !layer) return;
    const [seen, name] = [picture, layer];
    const isLatest = () => network === current.get()?.network && seen === picture && name === layer;
    const wait = beginWait(byId("network-waits"), `Computing ${name}`);
    try {
      const maps = (await network.activations(seen, [name]))[name];
      if (!maps || !isLatest()) return;
      byId("maps-caption").textContent = draw(byId("maps-canvas", HTMLCanvasElement), name, "maps", maps);
      figure.hidden = false;
      figure.ariaBusy = "false";
    } catch (error) {
      if (isLatest()) showError(errors, `Could not compute ${name}`, error);
    } finally {
      wait.end();
    }
  });

  async function show(file: File): Promise<void> {
    clearErrors(errors);
    try {
      picture = await createImageBitmap(file);
    } catch (error) {
      showError(errors, `Could not read the picture ${file.name}`, error);
      return;
    }
    paint(picture);
    lookAgain();
  }

  input.addEventListener("change", () => {
    const chosen = input.files?.[0];
    input.value = ""; // lets the user choose this file again
    if (chosen) void show(chosen);
  });
  addEventListener("drop", (event) => {
    const dropped = event.dataTransfer?.files[0];
    if (dropped?.type.startsWith("image/")) void show(dropped);
  });
  byId("layers").addEventListener("click", (event) => {
    const button = (event.target as Element).closest<HTMLElement>("[data-layer]");
    if (!button) return;
    layer = button.dataset.layer;
    clearErrors(errors);
    figure.ariaBusy = "true"; // until it shows this layer
    drawMaps(undefined);
  });
  current.onChange(() => {
    layer = undefined;
    figure.hidden = true;
    bars.show(undefined);
    lookAgain();
  });
  paint(picture);
}

/** The picture, fitted into its canvas. */
function paint(picture: Picture): void {
  const canvas = byId("picture-seen", HTMLCanvasElement);
  const context = context2d(canvas);
  const { width, height } = canvas;
  const scale = Math.min(width / picture.width, height / picture.height);
  const [w, h] = [picture.width * scale, picture.height * scale];
  context.clearRect(0, 0, width, height);
  context.imageSmoothingEnabled = scale < 1;
  const source = picture instanceof ImageData ? onCanvas(picture) : picture;
  context.drawImage(source, (width - w) / 2, (height - h) / 2, w, h);
}

function onCanvas(image: ImageData): OffscreenCanvas {
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d")?.putImageData(image, 0, 0);
  return canvas;
}

/** Draws maps side by side, from their smallest value in black to their largest in white; says what they are. */
export function draw(canvas: HTMLCanvasElement, name: string, kind: string, { data, shape }: TensorData): string {
  const [, channels = 1, h = 1, w = 1] = shape;
  const drawn = Math.min(channels, MOST_MAPS);
  const columns = Math.min(drawn, Math.max(1, Math.round(Math.sqrt((2 * drawn * h) / w))));
  canvas.width = columns * (w + 1) - 1;
  canvas.height = Math.ceil(drawn / columns) * (h + 1) - 1;
  const [low, high] = range(data);
  const scale = high > low ? 255 / (high - low) : 0;
  const context = context2d(canvas);
  for (let c = 0; c < drawn; c++) {
    const map = new ImageData(w, h);
    for (let i = 0; i < w * h; i++) {
      const grey = (data[c * w * h + i]! - low) * scale;
      map.data.set([grey, grey, grey, 255], 4 * i);
    }
    context.putImageData(map, (c % columns) * (w + 1), Math.floor(c / columns) * (h + 1));
  }
  const what = h * w === 1 ? "values" : `${kind} of ${h} × ${w}`;
  const some = drawn < channels ? `, the first ${drawn} of them drawn` : "";
  const text = `${name}: ${channels} ${what}${some}, from ${low.toPrecision(3)} (black) to ${high.toPrecision(3)} (white)`;
  canvas.ariaLabel = text;
  return text;
}

function range(data: Float32Array): [number, number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const v of data) {
    low = Math.min(low, v);
    high = Math.max(high, v);
  }
  return [low, high];
}
