// The user's camera: its picture on the page, and single frames of it. Nothing is recorded.
import { byId, context2d, make } from "./dom.js";
import { showError } from "./errors.js";

/** The side of a frame: the largest input of the networks. */
export const SIDE = 224;

export interface Camera {
  /** Whether there are frames. */
  isOpen(): boolean;
  /** Returns the central square of the current frame; undefined while the camera is closed. */
  frame(): HTMLCanvasElement | undefined;
  close(): void;
  /** Called back when it may have opened or closed. */
  onChange(listener: () => void): void;
}

/** While it is open, `seen` is given one frame after the other, each once the former is done with. */
export function createCamera(errors: HTMLElement, seen: (frame: HTMLCanvasElement) => Promise<void>): Camera {
  const button = byId("teach-camera", HTMLButtonElement);
  const video = byId("teach-video", HTMLVideoElement);
  let stream: MediaStream | undefined;
  let changed = () => {};

  function set(next: MediaStream | undefined): void {
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream = next;
    video.srcObject = next ?? null;
    video.hidden = !next;
    button.textContent = next ? "Close the camera" : "Open the camera";
    changed();
  }

  async function open(): Promise<void> {
    button.disabled = true;
    try {
      set(await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } }));
      await video.play();
      changed(); // there are frames now
      void watch();
    } catch (error) {
      set(undefined);
      showError(errors, "Could not open the camera", error);
    } finally {
      button.disabled = false;
    }
  }

  async function watch(): Promise<void> {
    const watched = stream;
    while (stream && stream === watched) {
      const image = frame();
      if (image) await seen(image);
      await new Promise(requestAnimationFrame);
    }
  }

  function frame(): HTMLCanvasElement | undefined {
    const { videoWidth: width, videoHeight: height } = video;
    if (!stream || width === 0) return undefined;
    const canvas = make("canvas", { width: SIDE, height: SIDE });
    const side = Math.min(width, height);
    context2d(canvas).drawImage(video, (width - side) / 2, (height - side) / 2, side, side, 0, 0, SIDE, SIDE);
    return canvas;
  }

  button.hidden = !navigator.mediaDevices; // as on pages without TLS
  button.addEventListener("click", () => {
    if (stream) set(undefined);
    else void open();
  });
  return {
    isOpen: () => stream !== undefined && video.videoWidth > 0,
    frame,
    close: () => set(undefined),
    onChange: (listener) => {
      changed = listener;
    },
  };
}
