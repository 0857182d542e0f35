// A drawing as MNIST prepares its digits: fitted into 20x20, antialiased, its centre of mass in the middle of 28x28.

export const SIDE = 28;
const BOX = 20;

/** Row-major intensities from 0 (paper) to 255 (ink). */
export interface Grey {
  width: number;
  height: number;
  data: Uint8Array | Uint8ClampedArray;
}

/** 28x28 intensities, or nothing when nothing is drawn. */
export function prepare(drawing: Grey): Uint8Array | undefined {
  const box = bounds(drawing);
  if (!box) return undefined;
  const scale = BOX / Math.max(box.right - box.left, box.bottom - box.top);
  const centre = centreOfMass(drawing);
  const columns = overlaps(drawing.width, scale, shift(centre.x * scale, box.left * scale));
  const rows = overlaps(drawing.height, scale, shift(centre.y * scale, box.top * scale));

  const result = new Uint8Array(SIDE * SIDE);
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      let sum = 0;
      for (const row of rows[y]!) {
        let line = 0;
        for (const column of columns[x]!) {
          line += column.share * drawing.data[row.at * drawing.width + column.at]!;
        }
        sum += row.share * line;
      }
      result[y * SIDE + x] = Math.round(Math.min(sum, 255));
    }
  }
  return result;
}

/** Brings the centre of mass near the middle of pixel 14, where MNIST has it, and the box onto whole pixels. */
function shift(centre: number, edge: number): number {
  return Math.round(SIDE / 2 + 0.5 - centre + edge) - edge;
}

/** The smallest rectangle with all that is visibly inked. */
function bounds({ width, height, data }: Grey) {
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (data[y * width + x]! < 32) continue;
      left = Math.min(left, x);
      right = Math.max(right, x + 1);
      top = Math.min(top, y);
      bottom = y + 1;
    }
  }
  return right > left ? { left, top, right, bottom } : undefined;
}

function centreOfMass({ width, height, data }: Grey) {
  let [mass, x, y] = [0, 0, 0];
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const ink = data[row * width + column]!;
      mass += ink;
      x += ink * (column + 0.5);
      y += ink * (row + 0.5);
    }
  }
  return { x: x / mass, y: y / mass };
}

/** For each of 28 places: which source places it covers after scaling and shifting, and with which share of its area. */
function overlaps(size: number, scale: number, shift: number): { at: number; share: number }[][] {
  return Array.from({ length: SIDE }, (_, place) => {
    const from = (place - shift) / scale;
    const to = (place + 1 - shift) / scale;
    const covered = [];
    for (let at = Math.max(0, Math.floor(from)); at < Math.min(size, to); at++) {
      const share = (Math.min(to, at + 1) - Math.max(from, at)) / (to - from);
      if (share > 0) covered.push({ at, share });
    }
    return covered;
  });
}

/** White on black, as the network was trained. */
export function toImage(pixels: Uint8Array): ImageData {
  const image = new ImageData(SIDE, SIDE);
  for (let i = 0; i < pixels.length; i++) {
    image.data.fill(pixels[i]!, 4 * i, 4 * i + 3);
    image.data[4 * i + 3] = 255;
  }
  return image;
}

/** Ink of any colour on transparent paper. */
export function inkImage(pixels: Uint8Array, [red, green, blue]: [number, number, number]): ImageData {
  const image = new ImageData(SIDE, SIDE);
  for (let i = 0; i < pixels.length; i++) image.data.set([red, green, blue, pixels[i]!], 4 * i);
  return image;
}
