"""What pixels show: functions of images (samples, channels, height, width), float, 0–255, with a number for each sample
where there is one, shaped (samples, 1, 1, 1) and on the images' device.
"""

import torch
from torch import Tensor

from models.spec.photometric import ColorJitter
from worker.training.augmentation.draws import Draws, per_sample
from worker.training.copying import onto

LEVELS = 256

BT_601 = (0.299, 0.587, 0.114)
"""How much red, green and blue give to the brightness of a pixel."""


def blend(images: Tensor, other: Tensor | float, factor: Tensor) -> Tensor:
    """The images at factor 1, `other` at 0, beyond them above 1."""
    return (images * factor + other * (1.0 - factor)).clamp(0.0, 255.0)


def gray(images: Tensor) -> Tensor:
    """(samples, 1, height, width) grey values."""
    if images.shape[1] == 1:
        return images
    weights = onto(images.device, torch.tensor(BT_601)).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True)


def brightened(images: Tensor, factor: Tensor) -> Tensor:
    return blend(images, 0.0, factor)


def contrasted(images: Tensor, factor: Tensor) -> Tensor:
    return blend(images, gray(images).mean((1, 2, 3), keepdim=True), factor)


def saturated(images: Tensor, factor: Tensor) -> Tensor:
    return blend(images, gray(images), factor)


def turned_in_hue(images: Tensor, turn: Tensor) -> Tensor:
    """Hue, in shares of the circle, moved by `turn`; saturation and value of the HSV cone are kept.

    A channel is value − chroma · max(0, min(k, 4 − k, 1)), where k = (n + 6 · hue) mod 6 with n = 5, 3, 1 for red,
    green and blue.
    """
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    value, chroma = images.amax(1), images.amax(1) - images.amin(1)
    share = chroma.clamp(min=1e-12)
    of_red, of_green = ((green - blue) / share) % 6.0, (blue - red) / share + 2.0
    sixths = torch.where(value == red, of_red, torch.where(value == green, of_green, (red - green) / share + 4.0))
    places = onto(images.device, torch.tensor([5.0, 3.0, 1.0])).view(1, 3, 1, 1)
    k = (places + sixths[:, None] + 6.0 * turn) % 6.0
    return value[:, None] - chroma[:, None] * torch.minimum(k, 4.0 - k).clamp(0.0, 1.0)


def jittered(images: Tensor, operation: ColorJitter, draws: Draws) -> Tensor:
    """The order is drawn for the batch, the amounts for each image."""
    for change in torch.randperm(4, generator=draws.generator).tolist():
        match change:
            case 0 if operation.brightness:
                images = brightened(images, factors(images, operation.brightness, draws))
            case 1 if operation.contrast:
                images = contrasted(images, factors(images, operation.contrast, draws))
            case 2 if operation.saturation:
                images = saturated(images, factors(images, operation.saturation, draws))
            case 3 if operation.hue:
                images = turned_in_hue(images, per_sample(draws.symmetric(operation.hue), images))
    return images


def factors(images: Tensor, amount: float, draws: Draws) -> Tensor:
    return per_sample(draws.between(max(0.0, 1.0 - amount), 1.0 + amount), images)


def posterized(images: Tensor, step: Tensor | float) -> Tensor:
    """Rounded down to whole multiples of `step`."""
    return (images.round() / step).floor() * step


def solarized(images: Tensor, threshold: Tensor | float) -> Tensor:
    return torch.where(images >= threshold, 255.0 - images, images)


def equalized(images: Tensor) -> Tensor:
    """Pillow's `ImageOps.equalize`, channel by channel: a level becomes ⌊(step / 2 + pixels below it) / step⌋ with step
    = ⌊(pixels − those of the highest level) / 255⌋; nothing changes where that is 0.
    """
    levels = images.round().long().flatten(2)
    counts = torch.zeros(*levels.shape[:2], LEVELS, dtype=torch.long, device=images.device)
    counts.scatter_add_(2, levels, torch.ones_like(levels))
    highest = counts.gather(2, levels.amax(2, keepdim=True))
    step = (levels.shape[2] - highest) // 255
    below = counts.cumsum(2) - counts
    table = ((step // 2 + below) // step.clamp(min=1)).clamp(max=255)
    return torch.where(step[..., None] > 0, table.gather(2, levels).view(images.shape).float(), images)


def stretched(images: Tensor) -> Tensor:
    """Autocontrast: the darkest value of each channel becomes 0, the brightest 255."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return torch.where(high > low, (images - low) * (255.0 / (high - low).clamp(min=1e-12)), images).clamp(0.0, 255.0)


def sharpened(images: Tensor, factor: Tensor) -> Tensor:
    """Pillow's `ImageEnhance.Sharpness`: away from a smoothed image, whose outer pixels are the image's own."""
    kernel = torch.ones(images.shape[1], 1, 3, 3, device=images.device) / 13.0
    kernel[:, :, 1, 1] = 5.0 / 13.0
    smooth = images.clone()
    if min(images.shape[2:]) > 2:
        smooth[:, :, 1:-1, 1:-1] = torch.nn.functional.conv2d(images, kernel, groups=images.shape[1])
    return blend(images, smooth, factor)
