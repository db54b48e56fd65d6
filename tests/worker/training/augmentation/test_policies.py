"""Policies: each operation at the ends of its range against Pillow, and the choice among them against its odds."""

from typing import Any

import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from models.spec.policies import AutoAugment, RandAugment, TrivialAugment
from tests.worker.training.augmentation.test_photometric import by_pillow, photograph
from tests.worker.training.augmentation.words import augmented, generator
from worker.training.augmentation.draws import Draws
from worker.training.augmentation.policies import CIFAR10, KINDS, Kind, acted, magnitude, rounds_of

FAMILY: list[dict[str, Any]] = [{"type": "rand_augment"}, {"type": "trivial_augment"}, {"type": "auto_augment"}]


@pytest.mark.parametrize("words", FAMILY, ids=lambda words: words["type"])
def test_a_policy_changes_images_and_repeats_itself(words: dict[str, Any]) -> None:
    images = photograph(100, 24, 20)
    once = augmented(images, [words])
    assert torch.equal(once, augmented(images, [words]))
    assert (once != images).flatten(1).any(1).float().mean() > 0.7
    assert 0.0 <= once.min() <= once.max() <= 255.0


@pytest.mark.parametrize("words", FAMILY, ids=lambda words: words["type"])
def test_p_spares_the_rest(words: dict[str, Any]) -> None:
    images = photograph(300, 24, 20)
    changed = (augmented(images, [{**words, "p": 0.2}]) != images).flatten(1).any(1).float().mean().item()
    assert 0.08 < changed < 0.25


def by_shear(coefficients: tuple[float, ...]) -> Any:
    return lambda picture: picture.transform(picture.size, Image.Transform.AFFINE, coefficients)


MOVES: list[tuple[Kind, float, Any]] = [
    ("shear_x", 0.3, by_shear((1, 0.3, 0, 0, 1, 0))),
    ("shear_y", -0.3, by_shear((1, 0, 0, -0.3, 1, 0))),
    ("translate_x", 5.0, by_shear((1, 0, 5, 0, 1, 0))),
    ("translate_y", -3.0, by_shear((1, 0, 0, 0, 1, -3))),
    ("rotate", 30.0, lambda picture: picture.rotate(30)),
]


@pytest.mark.parametrize(("kind", "amount", "theirs"), MOVES, ids=[kind for kind, _, _ in MOVES])
def test_a_move_reads_pillows_pixels(kind: Kind, amount: float, theirs: Any) -> None:
    """But for those that lie between two pixels: Pillow rounds places from the corner of a pixel."""
    images = photograph(1, 40, 40)
    ours, expected = acted(images, kind, torch.tensor([amount]), RandAugment()), by_pillow(images, theirs)
    flipped = acted(images, kind, torch.tensor([-amount]), RandAugment())
    agreeing = max((found == expected).float().mean().item() for found in (ours, flipped))
    assert agreeing > 0.85


COLORS: list[tuple[Kind, float, Any]] = [
    ("brightness", 0.9, lambda picture: ImageEnhance.Brightness(picture).enhance(1.9)),
    ("color", -0.9, lambda picture: ImageEnhance.Color(picture).enhance(0.1)),
    ("contrast", 0.5, lambda picture: ImageEnhance.Contrast(picture).enhance(1.5)),
    ("sharpness", 0.9, lambda picture: ImageEnhance.Sharpness(picture).enhance(1.9)),
    ("posterize", 4.0, lambda picture: ImageOps.posterize(picture, 4)),
    ("solarize", 90.0, lambda picture: ImageOps.solarize(picture, 90)),
    ("autocontrast", 0.0, ImageOps.autocontrast),
    ("equalize", 0.0, ImageOps.equalize),
    ("invert", 0.0, ImageOps.invert),
]


@pytest.mark.parametrize(("kind", "amount", "theirs"), COLORS, ids=[kind for kind, _, _ in COLORS])
def test_a_color_is_pillows_but_for_its_rounding(kind: Kind, amount: float, theirs: Any) -> None:
    images = photograph(1, 40, 40)
    ours = acted(images, kind, torch.tensor([amount]), AutoAugment())
    torch.testing.assert_close(ours, by_pillow(images, theirs), atol=1.51, rtol=0)


RANGES: list[tuple[Kind, bool, float]] = [
    ("shear_x", False, 0.3),
    ("shear_y", True, 0.99),
    ("translate_x", False, 45.0),
    ("translate_y", True, 32.0),
    ("rotate", False, 30.0),
    ("rotate", True, 135.0),
    ("color", False, 0.9),
    ("posterize", False, 4.0),
    ("posterize", True, 2.0),
    ("solarize", False, 0.0),
]


@pytest.mark.parametrize(("kind", "wide", "most"), RANGES)
def test_the_strongest_magnitude_is_the_papers(kind: Kind, wide: bool, most: float) -> None:
    assert magnitude(kind, torch.ones(1), wide, (50, 100)).item() == pytest.approx(most)


def test_operations_are_chosen_alike_and_all_bins_of_trivial_augment_occur() -> None:
    ((kinds, shares),) = rounds_of(TrivialAugment(), Draws(14_000, generator()))
    assert torch.bincount(kinds, minlength=len(KINDS))[:14].float().sub(1000).abs().max() < 150
    assert len(set(shares.tolist())) == 31


def test_rand_augment_has_one_magnitude() -> None:
    rounds = list(rounds_of(RandAugment(num_ops=3, magnitude=15), Draws(9, generator())))
    assert len(rounds) == 3
    assert all((shares == 0.5).all() for _, shares in rounds)


def test_the_operations_of_auto_augment_occur_with_the_odds_of_its_table() -> None:
    first, _ = rounds_of(AutoAugment(), Draws(50_000, generator()))
    for number, kind in enumerate(KINDS[1:], start=1):
        expected = sum(row[0][1] for row in CIFAR10 if row[0][0] == kind) / 25
        assert (first[0] == number).float().mean().item() == pytest.approx(expected, abs=0.01)
