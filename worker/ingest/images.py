"""Decodes one PNG, JPEG or WebP into uint8 pixels, within a bounded amount of memory."""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, PngImagePlugin, UnidentifiedImageError, WebPImagePlugin

from worker.ingest.errors import IngestError, printable
from worker.ingest.limits import MIB, Limits

Pixels = NDArray[np.uint8]

FORMATS = (
    PngImagePlugin.PngImageFile.format,
    JpegImagePlugin.JpegImageFile.format,
    WebPImagePlugin.WebPImageFile.format,
)
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    struct.error,
    zlib.error,
    Warning,
)
"""What Pillow raises for a file that is not what it should be; its warnings are errors here."""

_GREY = frozenset({"1", "L", "LA"})
_GREY_16 = frozenset({"I;16", "I;16L", "I;16B", "I"})
_BAND_BYTES = 4 * MIB
_ARCHIVE_MAGIC = (b"PK\x03\x04", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ")
_ORIENTATION = 0x0112


class DamagedImage(Exception):
    """The file cannot be decoded; the message says why."""


@contextmanager
def strict_decoder(limits: Limits) -> Iterator[None]:
    """While it is open, Pillow refuses more pixels than allowed and its warnings are errors."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, limits.image_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def decode(data: bytes, name: str, limits: Limits) -> Pixels:
    """Pixels (height, width, 1 or 3) as a person would see them: turned as the camera says, without transparency.

    Raises DamagedImage, and IngestError for what no limit allows.
    """
    if data.startswith(_ARCHIVE_MAGIC):
        raise IngestError(
            "nested_archive", f"The entry {printable(name)!r} is an archive that calls itself an image.", name
        )
    try:
        pixels, orientation = _read(data, name, limits)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise IngestError(
            "image_too_large", f"The image {printable(name)!r} has more than {limits.image_pixels:,} pixels.", name
        ) from error
    except DAMAGE as error:
        raise DamagedImage(_reason(error)) from error
    return np.ascontiguousarray(_turned(pixels, orientation))


def _read(data: bytes, name: str, limits: Limits) -> tuple[Pixels, object]:
    """The pixels as stored, and EXIF's orientation; Pillow's own copy is let go on return."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        _check_size(image, name, limits)
        image.load()
        return _pixels(image), image.getexif().get(_ORIENTATION, 1) if "exif" in image.info else 1


def _check_size(image: Image.Image, name: str, limits: Limits) -> None:
    pixels = image.width * image.height
    if pixels > limits.image_pixels:
        size = f"{image.width} × {image.height}"
        detail = f"The image {printable(name)!r} is {size}: more than {limits.image_pixels:,} pixels."
        raise IngestError("image_too_large", detail, name)
    if pixels * _bytes_per_pixel(image) > limits.image_memory:
        kind = "progressive JPEG" if image.format == "JPEG" else image.format
        detail = (
            f"The image {printable(name)!r} is a {kind} of {image.width} × {image.height}; decoding it would need "
            f"{pixels * _bytes_per_pixel(image):,} bytes and {limits.image_memory:,} are allowed. Send it smaller."
        )
        raise IngestError("image_too_large", detail, name)


def _bytes_per_pixel(image: Image.Image) -> int:
    """What is held at the fullest: Pillow's 4 bytes, our 3, and the buffers of libwebp or progressive JPEG."""
    if image.format == "WEBP":
        return 4 + 3 + 8
    return 4 + 3 + 6 if "progressive" in image.info else 4 + 3


def _pixels(image: Image.Image) -> Pixels:
    channels = 1 if image.mode in _GREY or image.mode in _GREY_16 else 3
    rows = max(1, _BAND_BYTES // (4 * image.width))
    if rows >= image.height:
        return _converted(image).reshape(image.height, image.width, channels)
    pixels = np.empty((image.height, image.width, channels), np.uint8)
    for top in range(0, image.height, rows):
        band = image.crop((0, top, image.width, min(top + rows, image.height)))
        pixels[top : top + rows] = _converted(band).reshape(-1, image.width, channels)
    return pixels


def _converted(band: Image.Image) -> Pixels:
    if band.mode in _GREY_16:
        return (np.asarray(band) >> 8).clip(0, 255).astype(np.uint8)
    if band.mode in _GREY:
        return np.asarray(band.convert("L"))
    if band.mode == "P" and "transparency" in band.info:
        band = band.convert("RGBA")  # straight to RGB, Pillow warns
    return np.asarray(band.convert("RGB"))


def _turned(pixels: Pixels, orientation: object) -> Pixels:
    """Undo the turn that EXIF's orientation (1 to 8) records; anything else is upright."""
    match orientation:
        case 2:
            return pixels[:, ::-1]
        case 3:
            return pixels[::-1, ::-1]
        case 4:
            return pixels[::-1]
        case 5:
            return pixels.swapaxes(0, 1)
        case 6:
            return pixels[::-1].swapaxes(0, 1)
        case 7:
            return pixels[::-1, ::-1].swapaxes(0, 1)
        case 8:
            return pixels[:, ::-1].swapaxes(0, 1)
        case _:
            return pixels


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "neither PNG nor JPEG nor WebP by its content"
    return printable(str(error)) or type(error).__name__
