#!/usr/bin/env python3
"""Writes images/: small test images, and what Pillow makes of them in the pipeline that networks are trained with.

    scripts/setup.sh python
    tests/.onnx/bin/python tests/golden/images.py

images.json holds, for each case, the source's file, Convoke's preprocessing as its files spell it, the file with
Pillow's pixels. A byte may be off by 2. Sizes and offsets are computed as torchvision's Resize and CenterCrop do. The tests need no Python.
"""

import json
import pathlib

import numpy as np
import PIL
from PIL import Image, ImageOps

FOLDER = pathlib.Path(__file__).with_name("images")
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
ORIENTATION = 0x0112


def picture(width, height, noise):
    """Gradients, discs with hard edges, a fine grating, and noise."""
    rng = np.random.default_rng(width * height)
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([255 * x / width, 255 * y / height, 127 + 127 * np.sin((x * x + y * y) / 180)], -1)
    for _ in range(6):
        cx, cy, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(4, height / 4)
        pixels[(x - cx) ** 2 + (y - cy) ** 2 < r * r] = rng.integers(0, 256, 3)
    pixels[: height // 5, width // 2 :] = np.where((x + y) % 2, 255, 0)[: height // 5, width // 2 :, None]
    return Image.fromarray(np.clip(pixels + rng.normal(0, noise, pixels.shape), 0, 255).astype(np.uint8))


def resize(image, side, resample):
    """torchvision's Resize(side): the longer side is rounded down."""
    (w, h), shorter = image.size, min(image.size)
    return image.resize((int(side * w / shorter), int(side * h / shorter)), resample)


def center_crop(image, side):
    """torchvision's CenterCrop(side): black around what is too small, then half the rest, rounded to even."""
    w, h = image.size
    padded = Image.new(image.mode, (max(w, side), max(h, side)))
    padded.paste(image, (max(0, side - w) // 2, max(0, side - h) // 2))
    left, top = (round((n - side) / 2) for n in padded.size)
    return padded.crop((left, top, left + side, top + side))


def main():
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    turned = Image.Exif()
    turned[ORIENTATION] = 6
    sources = [
        ("picture.png", picture(83, 61, 12), {}),
        ("tall.webp", picture(45, 70, 0), dict(lossless=True)),
        ("photo.jpeg", picture(110, 83, 3), dict(quality=90, subsampling="4:4:4")),
        ("turned.jpeg", picture(97, 63, 3), dict(quality=85, subsampling="4:2:0", exif=turned)),
        ("progressive.jpeg", picture(75, 50, 3), dict(quality=75, subsampling="4:2:2", progressive=True)),
        ("lossy.webp", picture(120, 91, 3), dict(quality=85)),
    ]
    cases = []
    for name, image, options in sources:
        image.save(FOLDER / name, **options)
        decoded = ImageOps.exif_transpose(Image.open(FOLDER / name)).convert("RGB")

        def case(kind, want, **preprocess):
            file = f"{name.replace('.', '-')}-{kind}.png"
            want.save(FOLDER / file, optimize=True)
            cases.append(dict(source=name, preprocess=preprocess, expected=file))

        case("decoded", decoded)
        for interpolation, resample in FILTERS.items():
            common = dict(interpolation=interpolation)
            for side, crop in ((29, 24), (128, 41), (30, 37)):
                want = center_crop(resize(decoded, side, resample), crop)
                case(f"{interpolation}-resize-{side}-crop-{crop}", want, resize=side, crop=crop, **common)
            for h, w in ((23, 31), (67, 90)):
                case(f"{interpolation}-size-{h}-{w}", decoded.resize((w, h), resample), size=[h, w], **common)
        gray = decoded.resize((28, 28), FILTERS["bilinear"]).convert("L")
        case("gray", gray, size=[28, 28], channels="gray")
    body = ",\n".join(json.dumps(case) for case in cases)
    made_with = f"Pillow {PIL.__version__}, numpy {np.__version__}"
    (FOLDER / "images.json").write_text(f'{{"made_with": "{made_with}",\n"cases": [\n{body}\n]}}\n')


main()
