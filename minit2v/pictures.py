"""A person's own picture, made fit to begin a clip: any file, any size, one clear word about what was done to it.

    file ─ opened, turned upright, flattened to 8-bit RGB ─ cropped or padded to the clip's shape ─ scaled

Every change is told (`Picture.notes`); what cannot be used is a one-line error.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from minit2v.errors import UserError

MOST_PIXELS = 40_000_000  # of the file's picture: bounds the memory, 120 MB of RGB
TOO_LARGE = f"{MOST_PIXELS // 10**6} million px are the most; shrink it"
LEAST_SIDE = 8  # px: a smaller picture shows nothing
PAPER = (128, 128, 128)  # what shows through transparent places, and what pads
FITS = ("crop", "pad")


@dataclass(frozen=True)
class Picture:
    """frames: uint8 (1, height, width, 3), a clip of one frame. notes: what was done to the picture, in words."""

    frames: np.ndarray
    notes: tuple[str, ...] = ()


def read_picture(source, height: int, width: int, fit: str = "crop") -> Picture:
    """A picture of height × width px from a file's path, the bytes of a file, a PIL image or a uint8 array (h, w, 3).

    fit: "crop" cuts off what does not fit the shape, "pad" adds gray bars. Raises `UserError` for a file that is
    missing, empty, cut short or no picture, for one of more than 40 million px, and for a side of less than 8 px.
    """
    if fit not in FITS:
        raise UserError(f"fit {fit!r}: give 'crop' or 'pad'")
    notes: list[str] = []
    image = _flat(_upright(_open(source), notes), notes)
    if min(image.size) < LEAST_SIDE:
        size = f"{image.width}×{image.height} px"
        raise UserError(f"{_name(source)} is {size}: give a picture of at least {LEAST_SIDE} px a side")
    image = _shaped(image, width / height, fit, notes)
    if image.size != (width, height):
        notes.append(f"scaled from {image.width}×{image.height} to {width}×{height} px")
        image = image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return Picture(np.asarray(image)[None].copy(), tuple(notes))


# ---- from a file to pixels -----------------------------------------------------------------------------------


def _name(source) -> str:
    return f"'{source}'" if isinstance(source, str | Path) else "the picture"


def _open(source) -> Image.Image:
    """The picture, decoded; its size is looked at before any pixel is."""
    if isinstance(source, Image.Image):
        return source
    if isinstance(source, np.ndarray):
        return _of_array(source)
    name, fix = _name(source), "give a PNG, JPEG, WebP or GIF"
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the picture {name}: {error.strerror or error}") from error
    if not data:
        raise UserError(f"{name} is empty (0 bytes): {fix}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is lower
            image = Image.open(io.BytesIO(data))
            if image.width * image.height > MOST_PIXELS:
                raise UserError(f"{name} is {image.width}×{image.height} px: {TOO_LARGE}")
            image.load()
    except UnidentifiedImageError as error:
        raise UserError(f"{name} is no picture that can be read: {fix}") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{name}: {TOO_LARGE}") from error
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow's decoders raise for damaged data
        raise UserError(f"{name} is cut short or damaged ({error}): save or download it again") from error
    return image


def _of_array(array: np.ndarray) -> Image.Image:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise UserError(f"an array of {array.dtype} {array.shape} is no picture: give uint8 (height, width, 3)")
    return Image.fromarray(array)


def _upright(image: Image.Image, notes: list[str]) -> Image.Image:
    """The first picture of an animation, turned the way its camera was held."""
    if getattr(image, "n_frames", 1) > 1:
        notes.append(f"the first of {image.n_frames} frames is used")
        image.seek(0)
    if image.getexif().get(0x0112, 1) != 1:
        notes.append("turned upright, as its EXIF data say")
    return ImageOps.exif_transpose(image)


def _flat(image: Image.Image, notes: list[str]) -> Image.Image:
    """8 bits, RGB, nothing to be seen through."""
    if image.mode.startswith("I") or image.mode == "F":
        notes.append("reduced from 16 bits to 8")
        values = np.asarray(image, np.float64)
        most = 65535 if values.max() > 255 else 255
        return Image.fromarray((values / most * 255).clip(0, 255).round().astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        if image.getextrema()[3][0] < 255:
            notes.append("transparent places are gray")
        paper = Image.new("RGBA", image.size, (*PAPER, 255))
        return Image.alpha_composite(paper, image).convert("RGB")
    return image.convert("RGB")


def _shaped(image: Image.Image, aspect: float, fit: str, notes: list[str]) -> Image.Image:
    """The middle of the picture in the wanted shape, or the whole of it between gray bars."""
    wide, high = image.size
    if abs(wide / high - aspect) * min(wide, high) < 1:  # less than one px off
        return image
    limit = min if fit == "crop" else max
    box = limit(wide, max(1, round(high * aspect))), limit(high, max(1, round(wide / aspect)))
    notes.append(f"{'cropped' if fit == 'crop' else 'padded'} from {wide}×{high} to {box[0]}×{box[1]} px")
    if fit == "crop":
        left, top = (wide - box[0]) // 2, (high - box[1]) // 2
        return image.crop((left, top, left + box[0], top + box[1]))
    padded = Image.new("RGB", box, PAPER)
    padded.paste(image, ((box[0] - wide) // 2, (box[1] - high) // 2))
    return padded

