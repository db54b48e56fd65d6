"""Images that are moved: what each operation may do, against scipy and Pillow and by its bounds."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from scipy import ndimage, stats
from torch import Tensor

from tests.worker.training.augmentation.words import augmented, generator, operation
from tests.worker.training.test_geometry import affine_transform, picture
from worker.training import geometry
from worker.training.augmentation import plan
from worker.training.augmentation.draws import Draws
from worker.training.augmentation.geometric import displaced, draw_maps

SIZE = (40, 30)
FLIPS = [{"type": "horizontal_flip"}, {"type": "vertical_flip"}]
GEOMETRIC: list[dict[str, Any]] = [
    {"type": "affine", "rotation": 15, "shift": [0.1, 0.2], "shear": 0.3, "zoom": [0.5, 1.5]},
    {"type": "rotation"},
    {"type": "shift"},
    {"type": "shear", "shear": "15 deg"},
    {"type": "zoom"},
    {"type": "image_data_generator", "rotation_range": 10, "zoom_range": 0.2, "horizontal_flip": True},
    {"type": "random_crop", "padding": 2},
    {"type": "random_resized_crop"},
    {"type": "perspective", "p": 1.0},
    {"type": "elastic"},
    *FLIPS,
]
DRAWN_AS_MAPS = [words for words in GEOMETRIC if words["type"] != "elastic"]


def maps_of(words: dict[str, Any], samples: int = 4000) -> Tensor:
    return draw_maps(operation(words), Draws(samples, generator()), SIZE)[0]


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
    image, draws = picture(20, 17), Draws(1, generator(3))
    maps = torch.eye(3)
    for one in words:
        maps = maps @ draw_maps(operation(one), draws, (20, 17))[0][0]
    expected = affine_transform(image[0], maps.double().numpy(), "nearest")
    np.testing.assert_allclose(augmented(image, words, seed=3)[0].numpy(), expected, atol=0.02)


def test_operations_apply_in_the_order_of_the_list() -> None:
    """A shift first and a zoom then moves the zoomed picture by the zoomed distance."""
    draws = Draws(1, generator())
    shift = draw_maps(operation({"type": "shift", "shift": [0.5, 0]}), draws, SIZE)[0]
    zoom = draw_maps(operation({"type": "zoom", "zoom": [2, 2]}), draws, SIZE)[0]
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


def keras_channel_shift(image: np.ndarray, intensity: float) -> np.ndarray:
    """Keras's `apply_channel_shift`: every channel is clipped to what the whole image had."""
    return np.stack([np.clip(channel + intensity, np.min(image), np.max(image)) for channel in image])


def keras_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """Keras's `apply_brightness_shift` without scaling: through Pillow, as 8-bit levels."""
    picture = Image.fromarray(image.astype("uint8").transpose(1, 2, 0))
    bright: np.ndarray = np.asarray(ImageEnhance.Brightness(picture).enhance(factor)).transpose(2, 0, 1)
    return bright.astype(np.float32)


def test_keras_shifts_channels_then_flips_then_brightens() -> None:
    images = torch.randint(10, 246, (8, 3, 9, 7), generator=generator()).float()
    words = {"channel_shift_range": 80, "brightness_range": [0.4, 1.8], "horizontal_flip": True}
    ours = augmented(images, [{"type": "image_data_generator", **words}], seed=5).numpy()
    draws = Draws(8, generator(5))
    [draws.symmetric(0.0) for _ in range(4)], draws.between(1, 1), draws.between(1, 1), draws.sign(0.0)
    across, shifts, factors = draws.sign(0.5), draws.symmetric(80), draws.between(0.4, 1.8)
    for i in range(8):
        shifted = keras_channel_shift(images[i].numpy(), shifts[i].item())
        flipped = shifted[:, :, ::-1] if across[i] < 0 else shifted
        np.testing.assert_allclose(ours[i], keras_brightness(flipped, factors[i].item()), atol=0.01)
    assert {-1.0, 1.0} == set(across.tolist())


def test_a_generator_colors_only_those_that_p_chooses_and_ends_its_run() -> None:
    images = picture(9, 7).repeat(200, 1, 1, 1)
    words = {"type": "image_data_generator", "brightness_range": [0.5, 0.5], "rotation_range": 40, "p": 0.3}
    ours = augmented(images, [words])
    spared = (ours - images).abs().amax((1, 2, 3)) < 0.01
    assert 0.55 < spared.float().mean() < 0.85
    assert (ours[~spared].amax((1, 2, 3)) <= images.max() / 2).all()
    runs = plan([operation({**words, "p": 1.0}), operation({"type": "rotation"})], 10, 100)
    assert [len(run) for run in runs] == [1, 1]
    runs = plan([operation({"type": "rotation"}), operation({**words, "p": 1.0})], 10, 100)
    assert [len(run) for run in runs] == [2]


@pytest.mark.parametrize(("unit", "largest"), [("degrees", math.radians(0.2)), ("radians", 0.2)])
def test_keras_shear_range_is_in_degrees_unless_said(unit: str, largest: float) -> None:
    maps = maps_of({"type": "image_data_generator", "shear_range": 0.2, "shear_unit": unit})
    assert maps[:, 0, 1].abs().max().item() == pytest.approx(math.sin(largest), rel=0.01)


@pytest.mark.parametrize(
    ("amount", "pixels"), [(1, {0}), (3, {-2, -1, 0, 1, 2}), ([2.0, 5.0], {-5, -2, 2, 5}), ([0.1, 0.2], {-6, -3, 3, 6})]
)
def test_keras_chooses_among_whole_pixels_and_several_numbers(amount: Any, pixels: set[int]) -> None:
    shifts = maps_of({"type": "image_data_generator", "width_shift_range": amount})[:, 1, 2]
    assert {round(shift, 4) for shift in shifts.tolist()} == pixels


@pytest.mark.parametrize(("amount", "largest"), [(0.5, 15.0), (1.0, 1.0), (2.5, 2.5)])
def test_keras_shifts_by_a_fraction_below_1_and_by_pixels_above(amount: float, largest: float) -> None:
    shifts = maps_of({"type": "image_data_generator", "width_shift_range": amount})[:, 1, 2]
    assert shifts.abs().max().item() == pytest.approx(largest, rel=0.01)
    assert len(shifts.unique()) > 3000  # type: ignore[no-untyped-call]


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


@pytest.mark.parametrize("words", DRAWN_AS_MAPS, ids=lambda words: words["type"])
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


def test_a_crop_is_a_window_of_the_padded_image_to_the_last_bit() -> None:
    images, padding = picture(9, 7).repeat(50, 1, 1, 1), 3
    padded = torch.nn.functional.pad(images[0], (padding,) * 4)
    windows = {
        padded[:, row : row + 9, column : column + 7].numpy().tobytes() for row in range(7) for column in range(7)
    }
    seen = {image.numpy().tobytes() for image in augmented(images, [{"type": "random_crop", "padding": padding}])}
    assert seen <= windows
    assert len(seen) > 25


def test_a_resized_crop_keeps_to_its_area_and_ratio_and_inside_the_image() -> None:
    maps = maps_of({"type": "random_resized_crop", "scale": [0.2, 0.6]})
    rows, columns = maps[:, 0, 0] * SIZE[0], maps[:, 1, 1] * SIZE[1]
    share, ratio = rows * columns / (SIZE[0] * SIZE[1]), columns / rows
    assert (share.min().item(), share.max().item()) == pytest.approx((0.2, 0.6), abs=0.03)
    assert (ratio.min().item(), ratio.max().item()) == pytest.approx((3 / 4, 4 / 3), abs=0.08)
    top, left = maps[:, 0, 2] + (SIZE[0] - rows) / 2, maps[:, 1, 2] + (SIZE[1] - columns) / 2
    edges = torch.stack([top, left, SIZE[0] - top - rows, SIZE[1] - left - columns, rows, columns])
    torch.testing.assert_close(edges, edges.round(), atol=1e-4, rtol=0)
    assert edges.round().amin(1).tolist()[:4] == [0.0] * 4
    assert (edges.round() >= 0).all()


def test_a_resized_crop_lies_everywhere_as_often() -> None:
    maps = maps_of({"type": "random_resized_crop", "scale": [0.25, 0.25], "ratio": [1, 1]}, samples=20_000)
    side = round((SIZE[0] * SIZE[1] / 4) ** 0.5)
    for axis, length in enumerate(SIZE):
        places = length - side + 1
        starts = (maps[:, axis, 2] + (length - side) / 2).round().long()
        counts = torch.bincount(starts, minlength=places)
        assert len(counts) == places
        assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_a_resized_crop_that_never_fits_is_the_largest_box_in_the_middle() -> None:
    maps = maps_of({"type": "random_resized_crop", "scale": [1, 1], "ratio": [2, 3]}, samples=2)
    expected = torch.diag(torch.tensor([15 / 40, 1.0, 1.0]))
    expected[0, 2] = -0.5  # whole pixels: 12 above it and 13 below
    torch.testing.assert_close(maps, expected.expand(2, 3, 3))


def test_a_perspective_is_what_pillow_makes_of_the_same_map() -> None:
    image = picture(24, 31)
    matrix = draw_maps(operation(GEOMETRIC[8]), Draws(1, generator(5)), (24, 31))[0]
    top_left = torch.tensor([[1.0, 0, -12], [0, 1, -15.5], [0, 0, 1]])
    of_corners = (torch.linalg.inv(top_left) @ matrix[0] @ top_left).double().numpy()
    coefficients = (of_corners[[1, 1, 1, 0, 0, 0, 2, 2], [1, 0, 2, 1, 0, 2, 1, 0]] / of_corners[2, 2]).tolist()
    theirs = [
        np.asarray(
            Image.fromarray(channel.numpy()).transform(
                (31, 24), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR
            )
        )
        for channel in image[0]
    ]
    ours = geometry.resample(image, matrix, "constant", "bilinear")[0].numpy()
    inside = ndimage.binary_erosion(np.stack(theirs) > 0, np.ones((1, 5, 5)))
    assert inside.sum() > 200
    np.testing.assert_allclose(ours[inside], np.stack(theirs)[inside], atol=0.05)


def test_a_perspective_draws_each_corner_towards_the_centre_by_its_share() -> None:
    """What it reads at a drawn corner is the image's own corner."""
    maps = torch.linalg.inv(maps_of({"type": "perspective", "p": 1.0, "distortion": 0.4}).double())
    corner = maps @ torch.tensor([SIZE[0] / 2, -SIZE[1] / 2, 1.0], dtype=torch.float64)
    inwards = 1 - (corner[:, :2] / corner[:, 2:]) / torch.tensor([SIZE[0] / 2, -SIZE[1] / 2])
    assert (inwards.min().item(), inwards.max().item()) == pytest.approx((0.0, 0.4), abs=0.005)


def test_an_elastic_displacement_is_the_papers_blurred_noise() -> None:
    images, words = torch.zeros(2, 1, 28, 20), operation({"type": "elastic", "alpha": 34, "sigma": 4})
    noise = torch.rand(2, 2, 28, 20, generator=Draws(2, generator()).on(images.device)) * 2 - 1
    ours, _ = displaced(images, words, Draws(2, generator()))
    for theirs, field in zip(ours.flatten(0, 1).numpy(), noise.flatten(0, 1).double().numpy(), strict=True):
        np.testing.assert_allclose(theirs, 34 * ndimage.gaussian_filter(field, 4, mode="mirror"), atol=1e-4)


def test_elastic_and_what_stands_before_it_read_where_scipy_reads() -> None:
    image, draws = picture(20, 17), Draws(1, generator(3))
    words: list[dict[str, Any]] = [{"type": "rotation", "rotation": 30}, {"type": "elastic"}]
    matrix = draw_maps(operation(words[0]), draws, (20, 17))[0][0].double().numpy()
    draws.chosen(1.0)
    bent = displaced(image, operation(words[1]), draws)[0][0].double().numpy()
    centre = np.array([9.5, 8.0])[:, None, None]
    rows, columns = np.mgrid[:20, :17] + bent - centre
    places = np.einsum("ij,jhw->ihw", matrix, np.stack([rows, columns, np.ones_like(rows)]))[:2] + centre
    expected = [ndimage.map_coordinates(channel, places, order=1, mode="nearest") for channel in image[0].numpy()]
    np.testing.assert_allclose(augmented(image, words, seed=3)[0].numpy(), np.stack(expected), atol=0.05)


def test_crops_join_a_resampling_that_fills_alike_and_elastic_ends_one() -> None:
    words: list[dict[str, Any]] = [
        {"type": "random_crop", "fill": "nearest"},
        {"type": "rotation"},
        {"type": "elastic"},
        {"type": "random_crop"},
        {"type": "horizontal_flip"},
    ]
    assert [len(run) for run in plan([operation(one) for one in words], 1, 1)] == [3, 2]
