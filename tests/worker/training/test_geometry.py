"""Resampling against `scipy.ndimage.affine_transform`, which Keras's `ImageDataGenerator` calls."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from worker.training import geometry

SCIPY_MODES: dict[geometry.Fill, str] = {
    "nearest": "nearest",
    "constant": "grid-constant",
    "reflect": "reflect",
    "wrap": "grid-wrap",
}


def picture(height: int, width: int) -> Tensor:
    return torch.rand(1, 2, height, width, generator=torch.Generator().manual_seed(1)) * 255


def affine_transform(image: Tensor, matrix: np.ndarray, mode: str, order: int = 1, value: float = 0.0) -> np.ndarray:
    """Keras's `apply_affine_transform` after its matrix is made: centred offset, then scipy channel by channel."""
    height, width = image.shape[-2:]
    centre = np.array([height / 2 - 0.5, width / 2 - 0.5])
    offset = centre + matrix[:2, 2] - matrix[:2, :2] @ centre
    channels = [
        ndimage.affine_transform(channel.double().numpy(), matrix[:2, :2], offset, order=order, mode=mode, cval=value)
        for channel in image
    ]
    return np.stack(channels)


@pytest.mark.parametrize("fill", SCIPY_MODES)
@pytest.mark.parametrize("size", [(9, 14), (28, 28)])
def test_a_composed_map_reads_what_scipy_reads(fill: geometry.Fill, size: tuple[int, int]) -> None:
    image = picture(*size)
    maps = (
        geometry.rotation(torch.tensor([0.3]))
        @ geometry.translation(torch.tensor([2.3]), torch.tensor([-3.1]))
        @ geometry.angular_shear(torch.tensor([0.2]))
        @ geometry.scaling(torch.tensor([1.2]), torch.tensor([0.85]))
    )
    ours = geometry.resample(image, maps, fill, "bilinear", value=7.0)
    theirs = affine_transform(image[0], maps[0].double().numpy(), SCIPY_MODES[fill], value=7.0)
    np.testing.assert_allclose(ours[0].numpy(), theirs, atol=0.02)


def test_nearest_interpolation_reads_whole_pixels() -> None:
    image = picture(11, 11)
    maps = geometry.rotation(torch.tensor([0.4]))
    ours = geometry.resample(image, maps, "nearest", "nearest")
    theirs = affine_transform(image[0], maps[0].double().numpy(), "nearest", order=0)
    assert (ours[0].numpy() == theirs.astype(np.float32)).mean() > 0.98


def test_keras_composition_is_the_product_of_its_four_matrices() -> None:
    theta, rows, columns, shear, row_zoom, column_zoom = 0.5, 2.0, -1.0, 0.3, 1.1, 0.9
    expected = (
        np.array([[math.cos(theta), -math.sin(theta), 0], [math.sin(theta), math.cos(theta), 0], [0, 0, 1]])
        @ np.array([[1, 0, rows], [0, 1, columns], [0, 0, 1]])
        @ np.array([[1, -math.sin(shear), 0], [0, math.cos(shear), 0], [0, 0, 1]])
        @ np.diag([row_zoom, column_zoom, 1])
    )
    ours = (
        geometry.rotation(torch.tensor([theta]))
        @ geometry.translation(torch.tensor([rows]), torch.tensor([columns]))
        @ geometry.angular_shear(torch.tensor([shear]))
        @ geometry.scaling(torch.tensor([row_zoom]), torch.tensor([column_zoom]))
    )
    np.testing.assert_allclose(ours[0].numpy(), expected, atol=1e-6)


def test_each_sample_is_read_through_its_own_map() -> None:
    image = picture(8, 8).expand(2, -1, -1, -1)
    maps = geometry.scaling(torch.ones(2), torch.tensor([1.0, -1.0]))
    plain, mirrored = geometry.resample(image, maps, "nearest", "bilinear")
    torch.testing.assert_close(plain, image[0])
    torch.testing.assert_close(mirrored, image[0].flip(-1))


@pytest.mark.parametrize("fill", SCIPY_MODES)
@pytest.mark.parametrize("bent", [False, True])
def test_pieces_are_what_the_whole_is(fill: geometry.Fill, bent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    random = torch.Generator().manual_seed(2)
    images = torch.randint(0, 256, (5, 9, 7, 3), dtype=torch.uint8, generator=random).permute(0, 3, 1, 2)
    maps = geometry.rotation(torch.rand(5, generator=random)) @ geometry.scaling(torch.ones(5), -torch.ones(5))
    displacement = torch.rand(5, 2, 9, 7, generator=random) if bent else None
    sizes = []

    def halved(some: Tensor, out: Tensor | None = None) -> Tensor:
        sizes.append(len(some))
        return torch.mul(some, 0.5, out=torch.empty_like(some) if out is None else out)

    plain = geometry.resample(images.float(), maps, fill, "bilinear", 7.0, displacement)
    whole = geometry.resample(images, maps, fill, "bilinear", 7.0, displacement, halved)
    monkeypatch.setattr(geometry, "PIECE", 2 * images[0].numel())
    pieces = geometry.resample(images, maps, fill, "bilinear", 7.0, displacement, halved)
    assert sizes == [5, 2, 2, 1]
    assert torch.equal(whole, plain * 0.5)
    assert torch.equal(pieces, whole)
    assert pieces.is_contiguous(memory_format=torch.channels_last)
