"""What acts on the numbers between the layers of a network, in training only."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import assert_never

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.spec.places import Acting
from models.spec.regularization import Activity, AlphaDropout, DropBlock, Dropout, DropPath, SpatialDropout
from worker.training.randomness import random_mask
from worker.training.tally import Tally

Dropping = Dropout | SpatialDropout | AlphaDropout | DropPath | DropBlock


class NamedDropout(nn.Module):
    """The techniques of a network, at the places that have some.

    One generator serves all places; the loop seeds it anew at every step, so the masks are a function of (seed, step).
    """

    def __init__(self, acting: Mapping[str, tuple[Acting, ...]], device: str) -> None:
        super().__init__()
        self.acting = acting
        self.generator = torch.Generator(device)
        self.activity: list[Tensor] = []
        self.tally = Tally(device)

    def forward(self, x: Tensor, place: str) -> Tensor:
        """`x` (examples, …): what comes from a layer, or a residual branch before its sum."""
        if not self.training:
            return x
        for number, technique in enumerate(self.acting.get(place, ())):
            if isinstance(technique, Activity):
                self.penalize(technique, x, place)
            else:
                draw = _drawn if torch.compiler.is_compiling() else self.draw
                x = without(technique, x, draw(place, number, x.shape, x.dtype, x.device))
        return x

    def draw(self, place: str, number: int, shape: Sequence[int], dtype: torch.dtype, _device: torch.device) -> Tensor:
        """What the technique of this number at this place keeps of numbers of this shape; it is counted."""
        technique = self.acting[place][number]
        assert not isinstance(technique, Activity)
        kept = mask_of(technique, torch.Size(shape), dtype, self.generator)
        self.tally.add(f"{technique.type}/{place}/numbers", kept.numel())
        self.tally.count(f"{technique.type}/{place}/kept", kept)
        return kept

    def penalize(self, technique: Activity, x: Tensor, place: str) -> None:
        penalty = activity_of(x, technique.l1, technique.l2)
        self.activity.append(penalty)
        self.tally.add(f"activity/{place}/forwards", 1)
        self.tally.count(f"activity/{place}/penalty", penalty.detach())

    @contextmanager
    def counting(self, tally: Tally) -> Iterator[Tally]:
        """What happens in here is counted there."""
        own, self.tally = self.tally, tally
        try:
            yield tally
        finally:
            self.tally = own

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """A compiled network draws from here, in this thread."""
        before = _DRAWING.set(self)
        try:
            yield
        finally:
            _DRAWING.reset(before)

    def take_activity(self) -> Tensor | None:
        """The activity penalties of the last forward pass as one scalar in the graph, or None if there are none."""
        if not self.activity:
            return None
        total = torch.stack(self.activity).sum()
        self.activity = []
        return total


_DRAWING: ContextVar[NamedDropout] = ContextVar("drawing")


@torch.library.custom_op("trainwright::drawn", mutates_args=(), tags=(torch.Tag.nondeterministic_seeded,))
def _drawn(place: str, number: int, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """`draw`, as an operation that a compiler does not look into: it has a generator, and counts."""
    return _DRAWING.get().draw(place, number, shape, dtype, device)


@_drawn.register_fake
def _(place: str, number: int, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    technique = _DRAWING.get().acting[place][number]
    assert not isinstance(technique, Activity)
    own = dtype if isinstance(technique, DropBlock) else torch.bool
    return torch.empty(shape_of(technique, torch.Size(shape)), dtype=own, device=device)


def shape_of(technique: Dropping, shape: torch.Size) -> torch.Size:
    """Of the mask for numbers of this shape: with 1 where they go together."""
    match technique:
        case Dropout() | AlphaDropout() | DropBlock():
            return shape
        case SpatialDropout():
            return torch.Size((*shape[:2], *[1] * (len(shape) - 2)))
        case DropPath():
            return torch.Size((shape[0], *[1] * (len(shape) - 1)))
        case _:
            assert_never(technique)


def mask_of(technique: Dropping, shape: torch.Size, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    """Where numbers are kept, of `shape_of`: true or false, of blocks 1 or 0."""
    if isinstance(technique, DropBlock):
        return blocks_left(technique, shape, dtype, generator)
    return random_mask(shape_of(technique, shape), 1.0 - technique.rate, generator)


def blocks_left(technique: DropBlock, shape: torch.Size, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    """0 in squares of (examples, channels, height, width), else 1; Ghiasi et al. 2018, arXiv:1810.12890."""
    examples, channels, height, width = shape
    block = min(technique.block_size, height, width)
    rows, columns = height - block + 1, width - block + 1
    chance = min(1.0, technique.rate * height * width / (block**2 * rows * columns))
    corners = ~random_mask(torch.Size((examples, channels, rows, columns)), 1.0 - chance, generator)
    return 1.0 - F.max_pool2d(F.pad(corners.to(dtype), (block - 1,) * 4), block, 1)


SELU_FLOOR = -1.0507009873554805 * 1.6732632423543772
"""The lowest value of SELU: −scale · alpha."""


def without(technique: Dropping, x: Tensor, kept: Tensor) -> Tensor:
    """What a technique leaves of `x`, scaled so that its mean stays; under alpha dropout, of which dropped values take
    SELU's floor, its variance too (Klambauer et al. 2017, 1706.02515).
    """
    if isinstance(technique, AlphaDropout):
        rate = technique.rate
        scale: float = ((1.0 - rate) * (1.0 + rate * SELU_FLOOR**2)) ** -0.5
        return torch.where(kept, x, SELU_FLOOR) * scale - scale * rate * SELU_FLOOR
    if isinstance(technique, DropBlock):
        return x * kept * (kept.numel() / kept.sum(dtype=torch.float32).clamp(min=1.0)).to(x.dtype)
    return x * (kept.to(x.dtype) * (1.0 / (1.0 - technique.rate)))


def activity_of(x: Tensor, l1: float, l2: float) -> Tensor:
    """l1 · Σ|a| + l2 · Σa², as a mean over the examples."""
    x = x.float()
    total = torch.zeros((), device=x.device)
    if l1:
        total = total + l1 * x.abs().sum()
    if l2:
        total = total + l2 * x.square().sum()
    return total / len(x)
