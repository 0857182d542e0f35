#!/usr/bin/env python3
"""Writes colours/: images whose files name colours or an orientation that a browser applies by its own rules, and Pillow's pixels.

    python tests/golden/colours.py        (needs Pillow and NumPy)

colours.json holds the file's name, width, height and RGB bytes of each image, turned as EXIF says, with stored colours.
"""

import json
import pathlib
import struct

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

FOLDER = pathlib.Path(__file__).with_name("colours")
ORIENTATION = 0x0112


def picture():
    """Smooth, so that JPEG keeps it, and different in each corner."""
    y, x = np.mgrid[:24, :32]
    return Image.fromarray(np.stack([8 * x, 10 * y, 255 - 4 * (x + y)], -1).clip(0, 255).astype(np.uint8))


def profile(gamma):
    """An ICC profile with sRGB's primaries and a plain gamma: far from sRGB where gamma is 1."""
    fixed = lambda v: struct.pack(">i", round(v * 65536))
    xyz = lambda *v: b"XYZ \0\0\0\0" + b"".join(map(fixed, v))
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    text = b"linear\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + b"\0" * (79 + 3),
        b"cprt": b"text\0\0\0\0none\0\0\0\0",
        b"wtpt": xyz(0.9642, 1, 0.8249),
        b"rXYZ": xyz(0.4361, 0.2225, 0.0139),
        b"gXYZ": xyz(0.3851, 0.7169, 0.0971),
        b"bXYZ": xyz(0.1431, 0.0606, 0.7141),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    table, data, at = b"", b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        value += b"\0" * (-len(value) % 4)
        table += name + struct.pack(">II", at + len(data), len(value))
        data += value
    body = struct.pack(">I", len(tags)) + table + data
    head = struct.pack(">I4sI4s4s4s", 128 + len(body), b"none", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28 + fixed(0.9642) + fixed(1) + fixed(0.8249)
    return head.ljust(128, b"\0") + body


def chunk(name, data):
    chunks = PngImagePlugin.PngInfo()
    chunks.add(name, data)
    return chunks


def turned(orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def main():
    FOLDER.mkdir(exist_ok=True)
    linear = profile(1)
    sources = {
        "gamma.png": dict(pnginfo=chunk(b"gAMA", struct.pack(">I", 100000))),
        "profile.png": dict(icc_profile=linear),
        "profile.jpeg": dict(icc_profile=linear, quality=95, subsampling="4:4:4"),
        "profile.webp": dict(icc_profile=linear, lossless=True),
        "turned.png": dict(exif=turned(6)),
        "turned-profile.webp": dict(exif=turned(6), icc_profile=linear, lossless=True),
        "turned-profile.jpeg": dict(exif=turned(8), icc_profile=linear, quality=95, subsampling="4:4:4"),
        **{f"turned-{o}.webp": dict(exif=turned(o), lossless=True) for o in range(2, 9)},
    }
    images = []
    for name, options in sources.items():
        picture().save(FOLDER / name, **options)
        pixels = ImageOps.exif_transpose(Image.open(FOLDER / name)).convert("RGB")
        images.append(dict(file=name, width=pixels.width, height=pixels.height, rgb=list(pixels.tobytes())))
    (FOLDER / "colours.json").write_text(json.dumps(images, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
