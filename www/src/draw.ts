// The pad: strokes by mouse, finger and pen, or the pixels of a sample digit.

import { type Grey, inkImage, prepare, SIDE } from "./digit.js";
import { context2d, onColourScheme, styleValue } from "./dom.js";

const PEN = 0.075; // of the pad's width; MNIST's strokes are about this thick

export interface Pad {
  /** Draws a ready 28x28 digit. */
  show(pixels: Uint8Array): void;
  clear(): void;
}

/** Calls back with the 28x28 digit whenever the drawing changes; `done` is false within a stroke. */
export function createPad(
  canvas: HTMLCanvasElement,
  changed: (pixels: Uint8Array | undefined, done: boolean) => void,
): Pad {
  const context = context2d(canvas, { willReadFrequently: true });
  const size = canvas.width;
  let pen: { id: number; x: number; y: number } | undefined;

  function place(event: PointerEvent) {
    const box = canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) / box.width) * size,
      y: ((event.clientY - box.top) / box.height) * size,
    };
  }

  function stroke(to: { x: number; y: number }): void {
    if (!pen) return;
    context.lineWidth = size * PEN;
    context.lineCap = "round";
    context.lineJoin = "round";
    context.strokeStyle = styleValue("--ink");
    context.beginPath();
    context.moveTo(pen.x, pen.y);
    context.lineTo(to.x, to.y);
    context.stroke();
    Object.assign(pen, to);
  }

  // Reading the pixels back once per frame is enough.
  let waiting = 0;
  function announce(done: boolean): void {
    cancelAnimationFrame(waiting);
    if (done) changed(prepare(read()), true);
    else waiting = requestAnimationFrame(() => changed(prepare(read()), false));
  }

  /** Returns the drawing at half size, which is more than enough for 28x28. */
  function read(): Grey {
    const { data } = context.getImageData(0, 0, size, size);
    const half = size >> 1;
    const grey = new Uint8Array(half * half);
    for (let y = 0; y < half; y++) {
      for (let x = 0; x < half; x++) grey[y * half + x] = data[4 * (2 * y * size + 2 * x) + 3]!;
    }
    return { width: half, height: half, data: grey };
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (pen || (event.pointerType === "mouse" && event.button !== 0)) return;
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    pen = { id: event.pointerId, ...place(event) };
    stroke(pen);
    announce(false);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pen?.id) return;
    const steps = event.getCoalescedEvents?.() ?? [];
    for (const step of steps.length > 0 ? steps : [event]) stroke(place(step));
    announce(false);
  });
  for (const type of ["pointerup", "pointercancel"] as const) {
    canvas.addEventListener(type, (event) => {
      if (event.pointerId !== pen?.id) return;
      pen = undefined;
      announce(true);
    });
  }

  // The ink follows the page's colours.
  onColourScheme(() => {
    context.globalCompositeOperation = "source-in";
    context.fillStyle = styleValue("--ink");
    context.fillRect(0, 0, size, size);
    context.globalCompositeOperation = "source-over";
  });

  return {
    show(pixels) {
      const small = new OffscreenCanvas(SIDE, SIDE);
      small.getContext("2d")?.putImageData(inkImage(pixels, [0, 0, 0]), 0, 0);
      context.clearRect(0, 0, size, size);
      context.imageSmoothingEnabled = false;
      context.drawImage(small, 0, 0, size, size);
      context.globalCompositeOperation = "source-in";
      context.fillStyle = styleValue("--ink");
      context.fillRect(0, 0, size, size);
      context.globalCompositeOperation = "source-over";
      changed(pixels, true);
    },
    clear() {
      context.clearRect(0, 0, size, size);
      changed(undefined, true);
    },
  };
}
