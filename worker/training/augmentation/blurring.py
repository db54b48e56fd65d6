"""Gaussian blur with a width for every image, as two products with matrices."""

import torch
from torch import Tensor

from worker.training.copying import onto

TRUNCATE = 4.0
"""The blur reaches so many deviations, as `scipy.ndimage.gaussian_filter` does."""


def blurred(images: Tensor, sigma: Tensor) -> Tensor:
    """Images (samples, channels, height, width) blurred with deviations `sigma` (samples,) in pixels, on the CPU.

    Beyond its edge an image is mirrored about the middle of its outer pixel (c b | a b c).
    """
    height, width = images.shape[-2:]
    radius = int(TRUNCATE * sigma.max().item() + 0.5)
    weights = onto(images.device, bell(sigma, radius))
    down, across = (blur_matrices(weights, side) for side in (height, width))
    return down[:, None] @ images @ across[:, None].mT


def bell(sigma: Tensor, radius: int) -> Tensor:
    """(samples, 2 · radius + 1) weights that add up to 1."""
    places = torch.arange(-radius, radius + 1) / sigma[:, None]
    return (-places.square() / 2).softmax(1)


def blur_matrices(weights: Tensor, side: int) -> Tensor:
    """(samples, side, side): what each pixel gives to each."""
    taps = weights.shape[1]
    period = max(1, 2 * (side - 1))
    places = torch.arange(side, device=weights.device)
    read = (places[:, None] + torch.arange(taps, device=weights.device) - taps // 2) % period
    read = torch.minimum(read, period - read)
    reads = (read[:, :, None] == places).float()
    return torch.einsum("bt,its->bis", weights, reads)
