"""Pixels are scaled channel by channel, whatever the order of memory."""

import pytest
import torch
from torch import Tensor

from worker.training.inputs import affine_of_channels

IMAGES = torch.rand(3, 3, 7, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("scale", [torch.tensor([0.5, 2.0, 3.0]), torch.tensor([0.25])])
def test_every_channel_has_its_scale_and_offset(layout: torch.memory_format, scale: Tensor) -> None:
    scale, offset = scale.view(1, -1, 1, 1), -scale.view(1, -1, 1, 1)
    scaled = affine_of_channels(IMAGES.contiguous(memory_format=layout), scale, offset)
    assert torch.equal(scaled, torch.addcmul(offset, IMAGES, scale))
    assert scaled.is_contiguous(memory_format=torch.channels_last)


def test_what_is_there_already_is_filled() -> None:
    for layout in (torch.contiguous_format, torch.channels_last):
        out = torch.empty_like(IMAGES, memory_format=torch.channels_last)
        images, scale = IMAGES.contiguous(memory_format=layout), torch.full((1, 1, 1, 1), 2.0)
        assert affine_of_channels(images, scale, -scale, out) is out
        assert torch.equal(out, torch.addcmul(-scale, IMAGES, scale))
        assert affine_of_channels(images, None, scale, out) is out
        assert torch.equal(out, IMAGES)


def test_without_a_scale_nothing_changes() -> None:
    same = affine_of_channels(IMAGES, None, torch.zeros(1, 1, 1, 1))
    assert torch.equal(same, IMAGES)
    assert same.is_contiguous(memory_format=torch.channels_last)
