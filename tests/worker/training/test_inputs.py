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
