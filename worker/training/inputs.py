"""From stored examples to what the network takes."""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.spec.augmentation import OnImages
from models.spec.job import JobSpec
from models.spec.mixing import Mixing
from models.spec.task import Task
from models.spec.vectors import Perturbation
from worker.training.augmentation import Planned, augment, mix, perturb, plan, planned
from worker.training.column_sums import PLACES
from worker.training.copying import onto
from worker.training.data import Dataset, Normalization, Part
from worker.training.noise import noise_on_inputs
from worker.training.randomness import generator_for
from worker.training.regularization import smoothing_of
from worker.training.schedule import Clock
from worker.training.tally import Tally

FAINT = 16.0
"""Contrast of images below which a box rounded to whole levels would lose too much: its error is one of 0.3."""


class Feed:
    """Batches on the device: gathered, augmented in training, normalized.

    Stored arrays are small integers where they can be; everything that makes them larger happens on one batch.
    """

    def __init__(self, spec: JobSpec, data: Dataset, clock: Clock, device: str, tally: Tally | None = None) -> None:
        self.tally = Tally(device) if tally is None else tally
        self.seed = spec.seed
        self.device = device
        self.is_image = len(data.task.input_shape) == 3
        self.is_faint = data.contrast < FAINT
        self.is_text = data.task.vocabulary > 0
        self.scale, self.offset = affine_of(data.normalization, self.is_image, device)
        self.zero = zero_of(data.normalization, device)
        self.task = data.task
        self.smoothing = smoothing_of(spec)
        self.noise = noise_on_inputs(spec)
        length = (clock.steps_per_epoch, clock.steps)
        self.runs: list[list[Planned[OnImages]]] = plan(spec.augmentation, *length) if self.is_image else []
        self.perturbing: list[Planned[Perturbation]] = [
            planned(one, *length, place)
            for place, one in enumerate(spec.augmentation)
            if isinstance(one, Perturbation) and not self.is_image
        ]
        self.mixing: list[Planned[Mixing]] = [
            planned(one, *length, place) for place, one in enumerate(spec.augmentation) if isinstance(one, Mixing)
        ]

    def training_batch(
        self, part: Part, positions: Tensor, epoch: int, step: int, index: int = 0, tally: Tally | None = None
    ) -> tuple[Tensor, Tensor]:
        """Inputs (batch, channels, height, width), (batch, features) or (batch, tokens), and targets; changed as (seed,
        epoch, step, index) say. `index` is that of the batch within the step; `tally` counts what is done.
        """
        tally = self.tally if tally is None else tally
        inputs, targets = self.numbers(part, positions)
        place = (epoch, step, index)
        if self.runs:
            generator = generator_for(self.seed, "augmentation", *place)
            inputs = augment(inputs, self.runs, step, generator, self.zero, tally, self.normalized)
        else:
            inputs = self.normalized(inputs)
        if self.perturbing:
            generator = generator_for(self.seed, "perturbation", *place)
            inputs = perturb(inputs, self.perturbing, step, generator, tally)
        if self.mixing:
            generator = generator_for(self.seed, "mixing", *place)
            inputs, targets = mix(inputs, targets, self.mixing, step, generator, self.task, tally)
        if self.noise:
            generator = generator_for(self.seed, "noise on inputs", *place, device=inputs.device)
            inputs = inputs + torch.empty_like(inputs).normal_(0.0, self.noise, generator=generator)
            tally.add("gaussian_noise/inputs", inputs.numel())
        if self.smoothing:
            targets = smooth(targets, self.smoothing, self.task)
            tally.add("label_smoothing/examples", len(targets))
        return inputs, targets

    def evaluation_batch(self, part: Part, positions: Tensor) -> tuple[Tensor, Tensor]:
        inputs, targets = self.numbers(part, positions)
        return self.normalized(inputs), targets

    def numbers(self, part: Part, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs in their stored units: vectors as floats, tokens as int64, lists as they are, and so images, which are
        channels-last (batch, channels, height, width); faint ones as floats.
        """
        stored, targets = part.gather(positions)
        inputs = onto(self.device, stored)
        if self.is_image:
            inputs = inputs.permute(0, 3, 1, 2)
            inputs = inputs.float() if self.is_faint else inputs
        elif not self.is_text and stored.dtype != PLACES:
            inputs = inputs.float()
        return inputs, onto(self.device, targets)

    def normalized(self, inputs: Tensor, out: Tensor | None = None) -> Tensor:
        """As the network takes them; images as floats, channels-last, into `out`, where there is one."""
        if self.is_image:
            return affine_of_channels(inputs.float(), self.scale, self.offset, out)
        return inputs if self.scale is None else torch.addcmul(self.offset, inputs, self.scale)


def smooth(targets: Tensor, epsilon: float, task: Task) -> Tensor:
    """y · (1 − ε) + ε / classes: shares (batch, classes), or (batch,) of the second of two classes; a label is one of
    two, whether it holds or not.

    Szegedy et al. 2016, arXiv:1512.00567.
    """
    if task.kind == "multiclass" and not targets.is_floating_point():
        targets = F.one_hot(targets, task.outputs)
    return targets.float() * (1.0 - epsilon) + epsilon / (2 if task.kind == "multi_label" else len(task.classes))


def affine_of(normalization: Normalization, is_image: bool, device: str) -> tuple[Tensor | None, Tensor]:
    """(x / divisor − mean) / std as x · scale + offset, shaped to meet a batch; no scale where nothing changes."""
    mean = torch.tensor(normalization.mean, dtype=torch.float64)
    std = torch.tensor(normalization.std, dtype=torch.float64)
    scale, offset = 1.0 / (normalization.divisor * std), -mean / std
    shape = (1, -1, 1, 1) if is_image else (1, -1)
    on_device = [value.float().view(shape).to(device) for value in (scale, offset)]
    return (None if bool((scale == 1).all() and (offset == 0).all()) else on_device[0]), on_device[1]


def affine_of_channels(images: Tensor, scale: Tensor | None, offset: Tensor, out: Tensor | None = None) -> Tensor:
    """x · scale + offset, both (1, channels or 1, 1, 1), or x without a scale, as channels-last (batch, channels,
    height, width); into `out`, where there is one.

    Along rows of channels-last images, and one plane at a time of others, memory is read in order: two to six times as
    fast as a product that broadcasts.
    """
    if scale is None:
        return images.contiguous(memory_format=torch.channels_last) if out is None else out.copy_(images)
    count, channels, height, width = images.shape
    scale, offset = (each.expand(1, channels, 1, 1) for each in (scale, offset))
    if out is None:
        out = torch.empty_like(images, memory_format=torch.channels_last)
    if images.is_contiguous(memory_format=torch.channels_last):
        rows = images.permute(0, 2, 3, 1).view(count, height, width * channels)
        into = out.permute(0, 2, 3, 1).view(rows.shape)
        torch.addcmul(offset.flatten().repeat(width), rows, scale.flatten().repeat(width), out=into)
        return out
    for channel in range(channels):
        torch.addcmul(offset[:, channel], images[:, channel], scale[:, channel], out=out[:, channel])
    return out


def zero_of(normalization: Normalization, device: str) -> Tensor:
    """The pixel that becomes 0, (1, channels or 1, 1, 1)."""
    return (torch.tensor(normalization.mean) * normalization.divisor).view(1, -1, 1, 1).to(device)
