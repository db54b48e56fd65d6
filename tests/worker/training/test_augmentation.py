"""Augmented batches: what each operation may do, against `scipy.ndimage.affine_transform` and by its bounds."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from models.spec.augmentation import Augmentation
from tests.worker.training.test_geometry import affine_transform, picture
from worker.training.augmentation import augment, draw_maps, plan

OPERATION: TypeAdapter[Any] = TypeAdapter(Augmentation)
SIZE = (40, 30)
FLIPS = [{"type": "horizontal_flip"}, {"type": "vertical_flip"}]
GEOMETRIC: list[dict[str, Any]] = [
    {"type": "affine", "rotation": 15, "shift": [0.1, 0.2], "shear": 0.3, "zoom": [0.5, 1.5]},
    {"type": "rotation"},
    {"type": "shift"},
    {"type": "shear", "shear": "15 deg"},
    {"type": "zoom"},
    {"type": "image_data_generator", "rotation_range": 10, "zoom_range": 0.2, "horizontal_flip": True},
    *FLIPS,
]


def operation(words: dict[str, Any]) -> Augmentation:
    return OPERATION.validate_json(json.dumps(words))  # type: ignore[no-any-return]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def maps_of(words: dict[str, Any], samples: int = 4000) -> Tensor:
    return draw_maps(operation(words), samples, SIZE, generator())


def augmented(images: Tensor, words: list[dict[str, Any]], step: int = 0, seed: int = 0) -> Tensor:
    runs = plan([operation(one) for one in words], 10, 100)
    return augment(images, runs, step, generator(seed))


@pytest.mark.parametrize("words", GEOMETRIC, ids=lambda words: words["type"])
def test_every_operation_changes_images_and_repeats_itself(words: dict[str, Any]) -> None:
    images = picture(9, 7).repeat(16, 1, 1, 1)
    once, twice = augmented(images, [words]), augmented(images, [words])
    assert torch.equal(once, twice)
    assert not torch.equal(once, images)
    assert not torch.equal(once, augmented(images, [words], seed=1))


def test_neighbours_compose_into_the_one_matrix_that_scipy_reads_through() -> None:
    words: list[dict[str, Any]] = [
        {"type": "rotation", "rotation": 30},
        {"type": "horizontal_flip"},
        {"type": "zoom"},
        {"type": "shift"},
    ]
    image, draws = picture(20, 17), generator(3)
    maps = torch.eye(3)
    for one in words:
        maps = maps @ draw_maps(operation(one), 1, (20, 17), draws)[0]
    expected = affine_transform(image[0], maps.double().numpy(), "nearest")
    np.testing.assert_allclose(augmented(image, words, seed=3)[0].numpy(), expected, atol=0.02)


def test_operations_apply_in_the_order_of_the_list() -> None:
    """A shift first and a zoom then moves the zoomed picture by the zoomed distance."""
    draws = generator()
    shift = draw_maps(operation({"type": "shift", "shift": [0.5, 0]}), 1, SIZE, draws)
    zoom = draw_maps(operation({"type": "zoom", "zoom": [2, 2]}), 1, SIZE, draws)
    centre_comes_from = (shift @ zoom)[0, 1, 2]
    assert centre_comes_from == shift[0, 1, 2]
    assert (zoom @ shift)[0, 1, 2] == shift[0, 1, 2] / 2


def test_keras_composition_is_rotation_shift_shear_zoom_then_flips() -> None:
    words = {
        "type": "image_data_generator",
        "rotation_range": 20,
        "width_shift_range": 0.1,
        "height_shift_range": 0.2,
        "shear_range": 15,
        "zoom_range": 0.3,
        "horizontal_flip": True,
        "vertical_flip": True,
    }
    ours = maps_of(words, 5).double().numpy()
    draws = generator()

    def uniform(low: float, high: float) -> np.ndarray:
        return (torch.rand(5, generator=draws) * (high - low) + low).double().numpy()

    theta, rows = np.deg2rad(uniform(-20, 20)), uniform(-0.2 * SIZE[0], 0.2 * SIZE[0])
    columns, shear = uniform(-0.1 * SIZE[1], 0.1 * SIZE[1]), np.deg2rad(uniform(-15, 15))
    row_zoom, column_zoom = uniform(0.7, 1.3), uniform(0.7, 1.3)
    down, across = (1 - 2 * (torch.rand(5, generator=draws) < 0.5).double().numpy() for _ in range(2))
    cosine, sine = np.cos(theta), np.sin(theta)
    for i in range(5):
        expected = (
            np.array([[cosine[i], -sine[i], 0], [sine[i], cosine[i], 0], [0, 0, 1]])
            @ np.array([[1, 0, rows[i]], [0, 1, columns[i]], [0, 0, 1]])
            @ np.array([[1, -math.sin(shear[i]), 0], [0, math.cos(shear[i]), 0], [0, 0, 1]])
            @ np.diag([row_zoom[i], column_zoom[i], 1])
            @ np.diag([down[i], across[i], 1])
        )
        np.testing.assert_allclose(ours[i], expected, atol=1e-5)


@pytest.mark.parametrize(("unit", "largest"), [("degrees", math.radians(0.2)), ("radians", 0.2)])
def test_keras_shear_range_is_in_degrees_unless_said(unit: str, largest: float) -> None:
    maps = maps_of({"type": "image_data_generator", "shear_range": 0.2, "shear_unit": unit})
    assert maps[:, 0, 1].abs().max().item() == pytest.approx(math.sin(largest), rel=0.01)


def test_keras_zoom_is_drawn_apart_for_each_axis_and_above_one_shows_more() -> None:
    maps = maps_of({"type": "image_data_generator", "zoom_range": 0.2})
    rows, columns = maps[:, 0, 0], maps[:, 1, 1]
    assert rows.min().item() == pytest.approx(0.8, abs=0.01)
    assert rows.max().item() == pytest.approx(1.2, abs=0.01)
    assert abs(np.corrcoef(rows, columns)[0, 1]) < 0.05


def test_our_zoom_above_one_enlarges_and_keeps_proportions() -> None:
    maps = maps_of({"type": "zoom", "zoom": [2, 4]})
    assert torch.equal(maps[:, 0, 0], maps[:, 1, 1])
    assert 0.25 <= maps[:, 0, 0].min() <= maps[:, 0, 0].max() <= 0.5


@pytest.mark.parametrize(("shear", "largest"), [(0.2, 0.2), ("10 deg", math.tan(math.radians(10)))])
def test_our_shear_is_a_tangent_or_an_angle(shear: Any, largest: float) -> None:
    slopes = maps_of({"type": "shear", "shear": shear})[:, 1, 0]
    assert slopes.abs().max().item() == pytest.approx(largest, rel=0.01)


def test_shift_is_a_share_of_width_and_height() -> None:
    maps = maps_of({"type": "shift", "shift": [0.1, 0.5]})
    assert maps[:, 1, 2].abs().max().item() == pytest.approx(0.1 * SIZE[1], rel=0.01)
    assert maps[:, 0, 2].abs().max().item() == pytest.approx(0.5 * SIZE[0], rel=0.01)


@pytest.mark.parametrize("words", FLIPS, ids=lambda words: words["type"])
def test_flips_alone_exchange_pixels_exactly(words: dict[str, Any]) -> None:
    images = picture(5, 6)
    axis = 3 if words["type"] == "horizontal_flip" else 2
    assert torch.equal(augmented(images, [{**words, "p": 1.0}]), images.flip(axis))


@pytest.mark.parametrize("words", GEOMETRIC, ids=lambda words: words["type"])
def test_p_is_the_share_of_images_that_change(words: dict[str, Any]) -> None:
    untouched = (maps_of({**words, "p": 0.3}) == torch.eye(3)).all((1, 2)).float().mean().item()
    assert untouched == pytest.approx(0.7, abs=0.03)


def test_it_acts_from_a_time_until_a_time() -> None:
    images = picture(6, 6)
    words = [{"type": "rotation", "from": "2 epochs", "until": "50%"}]
    changed = [step for step in range(100) if not torch.equal(augmented(images, words, step), images)]
    assert changed == list(range(20, 50))


def test_different_fills_are_different_resamplings() -> None:
    words = [{"type": "rotation"}, {"type": "horizontal_flip"}, {"type": "shift", "fill": "wrap"}, {"type": "zoom"}]
    runs = plan([operation(one) for one in words], 1, 1)
    assert [len(run) for run in runs] == [2, 1, 1]


def test_a_generator_that_asks_for_nothing_changes_nothing() -> None:
    images = picture(6, 5)
    torch.testing.assert_close(augmented(images, [{"type": "image_data_generator"}]), images, atol=1e-3, rtol=0)
