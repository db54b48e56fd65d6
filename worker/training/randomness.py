"""Randomness is a function, not a state: every draw comes from (seed, purpose, position).

Nothing here needs to be saved in a checkpoint, and a resumed run draws what an uninterrupted one would have drawn.
"""

from hashlib import blake2b

import torch
from torch import Tensor

BYTE_LEVELS = 256
SHORT_LEVELS = 65536


def derive_seed(seed: int, purpose: str, *position: int | str) -> int:
    """A 63-bit seed that depends on every part of the key and on nothing else."""
    key = "/".join([str(seed), purpose, *map(str, position)])
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "little") >> 1


def generator_for(seed: int, purpose: str, *position: int | str, device: str | torch.device = "cpu") -> torch.Generator:
    """A fresh generator for one purpose (`"order"`, `"augmentation"`, `"initialization"`, …) at one position."""
    generator = torch.Generator(device=device)
    generator.manual_seed(derive_seed(seed, purpose, *position))
    return generator


def choose_algorithms(device: str, *, deterministic: bool) -> None:
    """On a GPU, those that leave the same bits each time, or else the fastest; an operation that has none which does
    says so in a warning. On a processor all of ours do. Where 32 bits are asked for, convolutions have all of them, as
    products do.
    """
    if device.startswith("cuda"):
        torch.backends.cudnn.allow_tf32 = False
        torch.use_deterministic_algorithms(deterministic, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = not deterministic


def permutation(seed: int, epoch: int, examples: int) -> Tensor:
    """The order of an epoch: (examples,) int64."""
    return torch.randperm(examples, generator=generator_for(seed, "order", epoch))


def random_mask(shape: torch.Size, keep: float, generator: torch.Generator) -> Tensor:
    """A boolean mask of `shape` that is true with probability `keep`, exact to 1/65536.

    Raw generator words are read as bytes where `keep` is a multiple of 1/256 and as 16-bit numbers elsewhere, which is
    thirteen times cheaper on a CPU than one Bernoulli draw per element.
    """
    in_bytes = (keep * BYTE_LEVELS).is_integer()
    dtype, levels, per_word = (torch.uint8, BYTE_LEVELS, 8) if in_bytes else (torch.int16, SHORT_LEVELS, 4)
    elements = shape.numel()
    words = torch.empty(-(-elements // per_word), dtype=torch.int64, device=generator.device)
    words.random_(-(2**63), None, generator=generator)
    numbers = words.view(dtype)[:elements].view(shape)
    lowest, kept = (0 if in_bytes else -levels // 2), round(keep * levels)
    return numbers < lowest + kept if kept < levels else torch.ones_like(numbers, dtype=torch.bool)
