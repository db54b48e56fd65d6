"""The mean and the standard deviation that a start gives the weights of a kernel, by its formula."""

import math
from typing import assert_never

from torch import Tensor, nn

from models.spec.initialization import (
    AnyInitialization,
    Constant,
    Default,
    DeltaOrthogonal,
    Dirac,
    Identity,
    KaimingNormal,
    KaimingUniform,
    LecunNormal,
    LecunUniform,
    Lsuv,
    Normal,
    Ones,
    Orthogonal,
    Sparse,
    TruncatedNormal,
    Uniform,
    VarianceScaling,
    XavierNormal,
    XavierUniform,
    Zeros,
)
from worker.training.initialization import TRUNCATED_SPREAD, fan, fans

Moments = tuple[float, float]
"""(mean, standard deviation)."""

ERRORS = 8.0
"""Standard errors by which a mean or a spread may miss what is wanted before it is no chance."""

ROUNDING = 1e-3


def moments_of(start: AnyInitialization, part: Tensor) -> Moments | None:
    """Of a kernel (outputs, inputs, *window), or of each of the parts that make one up; None where the data decide."""
    fan_in, fan_out = fans(part)
    match start:
        case Uniform():
            return (start.low + start.high) / 2, (start.high - start.low) / math.sqrt(12.0)
        case Normal():
            return start.mean, start.std
        case Zeros():
            return 0.0, 0.0
        case Ones():
            return 1.0, 0.0
        case Constant():
            return start.value, 0.0
        case XavierNormal() | XavierUniform():
            return 0.0, start.gain / math.sqrt(fan(start.mode, fan_in, fan_out))
        case KaimingNormal() | KaimingUniform():
            gain = nn.init.calculate_gain(start.nonlinearity, start.negative_slope)
            return 0.0, gain / math.sqrt(fan(start.mode, fan_in, fan_out))
        case TruncatedNormal():
            return start.mean, start.std * TRUNCATED_SPREAD
        case LecunNormal() | LecunUniform():
            return 0.0, math.sqrt(1.0 / fan_in)
        case VarianceScaling():
            return 0.0, math.sqrt(start.scale / fan(start.mode, fan_in, fan_out))
        case Orthogonal():
            return 0.0, start.gain * math.sqrt(min(len(part), fan_in) / part.numel())
        case DeltaOrthogonal():
            return 0.0, start.gain * math.sqrt(min(part.shape[:2]) / part.numel())
        case Identity():
            return of_ones(start.gain, part)
        case Dirac():
            return of_ones(1.0, part)
        case Sparse():
            return 0.0, start.std * math.sqrt(1.0 - math.ceil(start.sparsity * len(part)) / len(part))
        case Default():
            return 0.0, 1.0 / math.sqrt(3.0 * fan_in)
        case Lsuv():
            return None
        case _:
            assert_never(start)


def of_ones(value: float, part: Tensor) -> Moments:
    """Of as many of this value as the shorter of the first two sides is long, and zeros."""
    share = min(part.shape[:2]) / part.numel()
    return value * share, value * math.sqrt(share * (1.0 - share))


def agree(measured: Moments, wanted: Moments, numbers: int, start: AnyInitialization) -> bool:
    """Whether so many numbers can have come out like this by chance."""
    drawn = numbers * (1.0 - start.sparsity) if isinstance(start, Sparse) else numbers
    scale = max(abs(wanted[0]), wanted[1])
    error = ERRORS * wanted[1] / math.sqrt(max(drawn, 1.0)) + ROUNDING * scale
    return abs(measured[0] - wanted[0]) <= error and abs(measured[1] - wanted[1]) <= error
