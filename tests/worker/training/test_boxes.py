"""Boxes of large images against Pillow, and against reading each pixel from its place."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from models.spec.geometric import HorizontalFlip, RandomResizedCrop, VerticalFlip
from worker.training import geometry
from worker.training.augmentation.draws import Draws
from worker.training.augmentation.geometric import draw_maps, move
from worker.training.boxes import Box, boxes_of, enlarged

SIZE = (150, 170)


def pictures(count: int, channels: int = 3) -> Tensor:
    """Smooth, with noise; (count, channels, height, width) bytes, channels-last."""
    random = torch.Generator().manual_seed(1)
    waves = torch.linspace(0, 9, SIZE[0])[:, None].sin() * torch.linspace(0, 7, SIZE[1]).cos()
    noise = torch.rand(count, *SIZE, channels, generator=random)
    return (waves[:, :, None] * 90 + 110 + noise * 50).byte().permute(0, 3, 1, 2)


def maps_of(count: int, *operations: RandomResizedCrop | HorizontalFlip | VerticalFlip) -> Tensor:
    draws = Draws(count, torch.Generator().manual_seed(2))
    maps = geometry.identity(count)
    for operation in operations:
        maps = maps @ draw_maps(operation, draws, SIZE)[0]
    return maps


def resized(image: Tensor, box: Box) -> np.ndarray:
    """Pillow's (height, width, channels)."""
    cut = Image.fromarray(image.permute(1, 2, 0).numpy().squeeze())
    cut = cut.crop((box.left, box.top, box.left + box.width, box.top + box.height))
    if box.upside_down:
        cut = cut.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    if box.mirrored:
        cut = cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(cut.resize(SIZE[::-1], Image.Resampling.BILINEAR)).reshape(*SIZE, -1)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_box_is_what_pillow_cuts_out_and_enlarges(channels: int) -> None:
    images = pictures(12, channels)
    boxes = boxes_of(pictures(12), maps_of(12, RandomResizedCrop(), HorizontalFlip(), VerticalFlip()))
    assert boxes is not None
    assert {(box.upside_down, box.mirrored) for box in boxes} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    for image, box, ours in zip(images, boxes, enlarged(images, boxes), strict=True):
        difference = ours.permute(1, 2, 0).numpy().astype(int) - resized(image, box).astype(int)
        assert abs(difference).max() <= 1
        assert abs(difference).mean() < 0.1


@pytest.mark.parametrize("flips_first", [False, True])
def test_what_is_read_from_places_inside_the_boxes_is_the_same(flips_first: bool) -> None:
    """At the edge of its box a picture ends here, there it goes on."""
    flip, crop = HorizontalFlip(), RandomResizedCrop()
    images, maps = pictures(6), maps_of(6, *((flip, crop) if flips_first else (crop, flip)))
    from_boxes = geometry.resample(images, maps, "nearest", "bilinear")
    from_places = geometry.resample(images.float(), maps, "nearest", "bilinear")
    assert torch.equal(from_boxes, from_boxes.round())
    assert not torch.equal(from_places, from_places.round())
    inside = (slice(None), slice(None), slice(6, -6), slice(6, -6))
    assert (from_boxes - from_places)[inside].abs().max() < 1.01


def test_the_whole_picture_stays_as_it_is() -> None:
    images = pictures(2)
    assert torch.equal(geometry.resample(images, geometry.identity(2), "nearest", "bilinear"), images.float())


def test_pieces_are_finished_as_the_whole_is(monkeypatch: pytest.MonkeyPatch) -> None:
    images, maps = pictures(5), maps_of(5, RandomResizedCrop())

    def halved(some: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.mul(some, 0.5, out=torch.empty_like(some) if out is None else out)

    monkeypatch.setattr(geometry, "PIECE", 2 * images[0].numel())
    pieces = geometry.resample(images, maps, "nearest", "bilinear", finish=halved)
    assert torch.equal(pieces, 0.5 * geometry.resample(images, maps, "nearest", "bilinear"))
    assert pieces.is_contiguous(memory_format=torch.channels_last)


def test_other_maps_and_other_images_are_read_from_places() -> None:
    images, box = pictures(2), maps_of(2, RandomResizedCrop())
    beyond = geometry.translation(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))
    between = geometry.scaling(torch.full((2,), 0.505), torch.full((2,), 0.5))
    turned = box @ geometry.rotation(torch.tensor([0.0, 0.01]))
    assert boxes_of(images, box) is not None
    assert [boxes_of(images, maps) for maps in (beyond, between, turned)] == [None] * 3
    assert boxes_of(images.float(), box) is None
    assert boxes_of(images[:, :, :64, :64], box) is None
    assert boxes_of(images.to("meta"), box) is None


def test_the_threads_are_as_many_as_before() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        images = pictures(1)
        move(images, [RandomResizedCrop()], Draws(1, torch.Generator().manual_seed(3)))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
