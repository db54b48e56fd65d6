import io

import numpy as np
import pytest
from PIL import Image

from tests.worker.ingest.uploads import image
from worker.ingest.errors import IngestError
from worker.ingest.images import DamagedImage, Pixels, decode, strict_decoder
from worker.ingest.limits import DEFAULT_LIMITS, Limits


def decoded(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Pixels:
    with strict_decoder(limits):
        return decode(data, "cat/1", limits)


def encoded(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_lossless_images_come_back_as_they_were(kind: str, options: dict[str, object]) -> None:
    expected = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    assert np.array_equal(decoded(image(kind=kind, **options)), expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_images_come_back_as_pillow_reads_them(kind: str) -> None:
    data = image(700, 600, kind=kind)
    assert np.array_equal(decoded(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_an_image_of_many_bands_is_put_together_again() -> None:
    data = image(3000, 1000)
    assert np.array_equal(decoded(data), np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize(
    ("mode", "channels"), [("1", 1), ("L", 1), ("LA", 1), ("I;16", 1), ("P", 3), ("RGB", 3), ("RGBA", 3)]
)
def test_every_mode_becomes_grey_or_rgb(mode: str, channels: int) -> None:
    picture = Image.new("L", (6, 4), 200).convert(mode) if mode != "I;16" else Image.new("I;16", (6, 4), 200 * 256)
    pixels = decoded(encoded(picture))
    assert pixels.shape == (4, 6, channels)
    assert set(np.unique(pixels)) <= {0, 200, 255}


def test_a_palette_with_transparency_is_no_damage() -> None:
    picture = Image.new("P", (6, 4))
    assert decoded(encoded(picture, transparency=b"\x00\x80")).shape == (4, 6, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_upright(orientation: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    from PIL import ImageOps

    data = encoded(Image.fromarray(pixels), exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert np.array_equal(decoded(data), np.asarray(expected))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_truncated_image_is_damaged(kind: str) -> None:
    data = image(64, 64, kind=kind)
    with pytest.raises(DamagedImage):
        decoded(data[: len(data) // 2])


@pytest.mark.parametrize("data", [b"", b"not an image", b"GIF89a" + bytes(40)])
def test_what_is_no_image_is_damaged(data: bytes) -> None:
    with pytest.raises(DamagedImage):
        decoded(data)


@pytest.mark.parametrize("scale", [1, 3])
def test_too_many_pixels_are_refused_before_they_are_decoded(scale: int) -> None:
    with pytest.raises(IngestError) as caught:
        decoded(image(100 * scale, 100), Limits(image_pixels=9_999))
    assert (caught.value.code, caught.value.entry) == ("image_too_large", "cat/1")


def test_a_decoder_that_holds_the_image_several_times_is_counted() -> None:
    limits = Limits(image_memory=100 * 100 * 10)
    assert decoded(image(100, 100, kind="JPEG"), limits).shape == (100, 100, 3)
    with pytest.raises(IngestError, match="progressive JPEG"):
        decoded(image(100, 100, kind="JPEG", progressive=True), limits)
