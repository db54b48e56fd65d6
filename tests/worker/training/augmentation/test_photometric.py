"""What pixels show, against Pillow, the standard library's `colorsys` and scipy. Pillow counts in whole numbers and we
do not, so that differences below 1 are its rounding.
"""

import colorsys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from scipy import ndimage
from torch import Tensor

from tests.worker.training.augmentation.words import augmented, generator
from worker.training.augmentation import photometric
from worker.training.augmentation.draws import Draws

FAMILY: list[dict[str, Any]] = [
    {"type": "color_jitter", "saturation": 0.4, "hue": 0.2},
    {"type": "grayscale", "p": 1.0},
    {"type": "invert", "p": 1.0},
    {"type": "posterize", "p": 1.0},
    {"type": "solarize", "p": 1.0},
    {"type": "equalize", "p": 1.0},
    {"type": "gaussian_blur", "p": 1.0},
    {"type": "gaussian_noise"},
    {"type": "random_erasing", "p": 1.0},
    {"type": "cutout", "length": 8},
]


def photograph(samples: int = 1, height: int = 24, width: int = 19) -> Tensor:
    """Whole numbers of uneven frequency, (samples, 3, height, width)."""
    draws = torch.rand(samples, 3, height, width, generator=generator(1))
    return (draws.square() * 200 + 20).floor()


def by_pillow(images: Tensor, function: Callable[[Image.Image], Image.Image]) -> Tensor:
    pictures = [Image.fromarray(image.permute(1, 2, 0).byte().numpy()) for image in images]
    return torch.stack([torch.from_numpy(np.array(function(picture))).permute(2, 0, 1) for picture in pictures]).float()


@pytest.mark.parametrize("words", FAMILY, ids=lambda words: words["type"])
def test_every_operation_changes_a_share_p_of_the_images_and_repeats_itself(words: dict[str, Any]) -> None:
    images, rare = photograph(200, 20, 17), [{**words, "p": 0.3}]
    once = augmented(images, rare)
    assert torch.equal(once, augmented(images, rare))
    assert (once != images).flatten(1).any(1).float().mean().item() == pytest.approx(0.3, abs=0.1)
    assert 0.0 <= once.min() <= once.max() <= 255.0


EXACT: list[tuple[dict[str, Any], Callable[[Image.Image], Image.Image]]] = [
    ({"type": "invert"}, ImageOps.invert),
    ({"type": "posterize", "bits": 3}, lambda picture: ImageOps.posterize(picture, 3)),
    ({"type": "solarize", "threshold": 100}, lambda picture: ImageOps.solarize(picture, 100)),
    ({"type": "equalize"}, ImageOps.equalize),
]


@pytest.mark.parametrize(("words", "theirs"), EXACT, ids=lambda value: value["type"] if isinstance(value, dict) else "")
@pytest.mark.parametrize("size", [(24, 19), (64, 48)])
def test_it_gives_pillows_pixels_exactly(words: dict[str, Any], theirs: Any, size: tuple[int, int]) -> None:
    images = photograph(3, *size)
    assert torch.equal(augmented(images, [{**words, "p": 1.0}]), by_pillow(images, theirs))


def test_equalize_leaves_an_image_of_one_level_alone() -> None:
    images = torch.full((1, 3, 40, 40), 7.0)
    assert torch.equal(augmented(images, [{"type": "equalize", "p": 1.0}]), images)


BLENDS = [
    (photometric.brightened, ImageEnhance.Brightness),
    (photometric.contrasted, ImageEnhance.Contrast),
    (photometric.saturated, ImageEnhance.Color),
    (photometric.sharpened, ImageEnhance.Sharpness),
]


@pytest.mark.parametrize(("ours", "theirs"), BLENDS)
@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 1.7])
def test_a_blend_is_pillows_but_for_its_rounding(ours: Any, theirs: Any, factor: float) -> None:
    images = photograph(2)
    expected = by_pillow(images, lambda picture: theirs(picture).enhance(factor))
    torch.testing.assert_close(ours(images, torch.full((2, 1, 1, 1), factor)), expected, atol=1.51, rtol=0)


def test_autocontrast_is_pillows_but_for_its_rounding() -> None:
    images = photograph(2)
    expected = by_pillow(images, lambda picture: ImageOps.autocontrast(picture))
    torch.testing.assert_close(photometric.stretched(images), expected, atol=1.0, rtol=0)


def test_gray_is_pillows_but_for_its_rounding() -> None:
    images = photograph(2)
    expected = by_pillow(images, lambda picture: picture.convert("L").convert("RGB"))
    torch.testing.assert_close(augmented(images, [FAMILY[1]]), expected, atol=0.51, rtol=0)


@pytest.mark.parametrize("turn", [-0.5, -0.1, 0.0, 0.25])
def test_hue_is_turned_as_colorsys_says(turn: float) -> None:
    image = photograph()
    pixels = (image[0] / 255).flatten(1).T.double().tolist()
    as_hsv = [colorsys.rgb_to_hsv(*pixel) for pixel in pixels]
    expected = torch.tensor([colorsys.hsv_to_rgb((h + turn) % 1.0, s, v) for h, s, v in as_hsv]).T.view(image[0].shape)
    ours = photometric.turned_in_hue(image, torch.full((1, 1, 1, 1), turn))
    torch.testing.assert_close(ours[0], expected * 255, atol=2e-3, rtol=0)


def test_a_jitter_draws_its_factors_for_each_image() -> None:
    images = torch.full((3000, 3, 2, 2), 100.0)
    shares = augmented(images, [{"type": "color_jitter", "brightness": 0.4, "contrast": 0}])[:, 0, 0, 0] / 100
    assert (shares.min().item(), shares.max().item()) == pytest.approx((0.6, 1.4), abs=0.01)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 5.0])
def test_blur_is_scipys(sigma: float) -> None:
    image = photograph()
    ours = augmented(image, [{"type": "gaussian_blur", "p": 1.0, "sigma": [sigma, sigma]}])[0].numpy()
    theirs = [ndimage.gaussian_filter(channel, sigma, mode="mirror") for channel in image[0].double().numpy()]
    np.testing.assert_allclose(ours, np.stack(theirs), atol=2e-3)


def erased_share(words: dict[str, Any], size: tuple[int, int]) -> Tensor:
    return (augmented(torch.full((3000, 1, *size), 9.0), [words]) == 0).float().mean((1, 2, 3))


def test_erasing_takes_rectangles_of_its_scale() -> None:
    share = erased_share({"type": "random_erasing", "p": 1.0, "scale": [0.1, 0.3]}, (40, 50))
    assert (share.min().item(), share.max().item()) == pytest.approx((0.1, 0.3), abs=0.02)
    assert share.mean().item() == pytest.approx(0.2, abs=0.01)


def test_cutout_takes_squares_about_any_pixel_clipped_at_the_edge() -> None:
    """The mean over all centres: a side of 8 keeps 8 − (1 + 2 + 3 + 4 + 1 + 2 + 3) / 20 of it on average."""
    pixels = erased_share({"type": "cutout", "length": 8}, (20, 20)) * 400
    assert (pixels.min().item(), pixels.max().item()) == pytest.approx((16, 64), abs=1e-3)
    assert pixels.mean().item() == pytest.approx((8 - 16 / 20) ** 2, rel=0.02)


def test_erased_pixels_are_noise_if_told() -> None:
    images = torch.full((50, 1, 20, 20), 300.0)
    noise = augmented(images, [{"type": "random_erasing", "p": 1.0, "value": "random"}])
    assert noise[noise < 300].std().item() == pytest.approx(255 / 12**0.5, rel=0.05)


def test_draws_of_another_seed_are_others() -> None:
    assert not torch.equal(Draws(9, generator(0)).between(0, 1), Draws(9, generator(1)).between(0, 1))


def test_noise_of_images_is_a_share_of_the_range() -> None:
    grey = torch.full((1, 3, 60, 60), 128.0)
    noise = augmented(grey, [{"type": "gaussian_noise", "std": 0.1}]) - grey
    assert noise.std().item() == pytest.approx(25.5, rel=0.02)
