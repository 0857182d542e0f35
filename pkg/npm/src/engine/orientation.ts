// The orientation in a WebP file's EXIF data, which browsers do not apply by one rule.

type Bytes = Uint8Array<ArrayBuffer>;

/** The number of EXIF's tag for the orientation, and of its type, a number of 16 bits. */
const [ORIENTATION, SHORT] = [0x0112, 3];

/**
 * Takes the orientation out of a WebP file: returns it, 1 to 8 as EXIF counts, and replaces it by 1 in `file`. Any other
 * file, or one without an orientation, is left as it is: 1.
 */
export function takeOrientation(file: Bytes): number {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const tiff = exifStart(view);
  if (tiff === undefined || tiff + 8 > view.byteLength) return 1;
  const little = view.getUint16(tiff) === 0x4949; // "II"
  const entries = tiff + view.getUint32(tiff + 4, little);
  if (entries + 2 > view.byteLength) return 1;
  const count = view.getUint16(entries, little);
  for (let at = entries + 2; at < entries + 2 + 12 * count && at + 12 <= view.byteLength; at += 12) {
    if (view.getUint16(at, little) !== ORIENTATION || view.getUint16(at + 2, little) !== SHORT) continue;
    const orientation = view.getUint16(at + 8, little);
    view.setUint16(at + 8, 1, little);
    return orientation >= 1 && orientation <= 8 ? orientation : 1;
  }
  return 1;
}

/** Returns the start of the TIFF header in the chunk `EXIF` of a WebP file. */
function exifStart(view: DataView): number | undefined {
  const name = (at: number) => (at + 4 <= view.byteLength ? view.getUint32(at) : 0);
  const [RIFF, WEBP, EXIF, EXIF_NUL] = [0x52494646, 0x57454250, 0x45584946, 0x45786966];
  if (name(0) !== RIFF || name(8) !== WEBP) return undefined;
  for (let at = 12; at + 8 <= view.byteLength; ) {
    const size = view.getUint32(at + 4, true);
    // Some writers put JPEG's prefix, "Exif" and two zeros, before the header.
    if (name(at) === EXIF) return name(at + 8) === EXIF_NUL ? at + 14 : at + 8;
    at += 8 + size + (size % 2);
  }
  return undefined;
}

type Matrix = [a: number, b: number, c: number, d: number, e: number, f: number];

/** Returns the transform of a canvas that turns a picture of `width` and `height` upright. */
export function upright(orientation: number, width: number, height: number): Matrix {
  const [w, h] = [width, height];
  const all: Matrix[] = [
    [1, 0, 0, 1, 0, 0],
    [-1, 0, 0, 1, w, 0],
    [-1, 0, 0, -1, w, h],
    [1, 0, 0, -1, 0, h],
    [0, 1, 1, 0, 0, 0],
    [0, 1, -1, 0, h, 0],
    [0, -1, -1, 0, h, w],
    [0, -1, 1, 0, 0, w],
  ];
  return all[orientation - 1]!;
}
