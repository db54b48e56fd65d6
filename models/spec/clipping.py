"""How large a gradient may be. Clipping comes after the whole gradient, penalties included, is known and before the
step.

A step counts as clipped when clipping changed its gradient, in whole or in part: one scale below 1, one entry cut off.
"""

from typing import Annotated, Literal

from pydantic import Field

from .technique import LayerName, Technique

Bound = Annotated[float, Field(gt=0.0, le=1e9)]
NormType = Annotated[
    Annotated[float, Field(ge=1.0, le=100.0)] | Literal["inf"],
    Field(description="The p of the p-norm; 2 is the length."),
]


class Guarded(Technique):
    """What every way of clipping has."""

    nonfinite: Literal["error", "skip_step"] = "error"
    """What a gradient with NaN or infinity does: ends the job as diverged, or skips the step
    (training.max_grad_failures times in a row at most).
    """


class GlobalNorm(Guarded):
    """All gradients together are scaled to a norm of at most max_norm: g · min(1, max_norm / ‖g‖), one norm over all
    parameters.

    The norm before clipping and the share of clipped steps are metrics of the job. PyTorch's clip_grad_norm_,
    TensorFlow's clip_by_global_norm.

    Reference: Pascanu et al. 2013, "On the difficulty of training recurrent neural networks", arXiv:1211.5063.
    """

    type: Literal["global_norm"] = "global_norm"
    max_norm: Bound = 1.0
    norm_type: NormType = 2.0


class Norm(Guarded):
    """The gradient of each parameter on its own is scaled to a norm of at most max_norm: g · min(1, max_norm / ‖g‖).

    Keras's clipnorm. Unlike `global_norm` it turns the direction of the step. A step is clipped when at least one
    parameter's gradient was scaled.

    Reference: Keras's `clipnorm`; Pascanu et al. 2013, arXiv:1211.5063, for the scaling.
    """

    type: Literal["norm"] = "norm"
    max_norm: Bound = 1.0
    norm_type: NormType = 2.0


class Value(Guarded):
    """Every entry of a gradient is cut off at ±clip_value. A step is clipped when at least one entry lay beyond.

    Formula: g ← min(max(g, −clip_value), clip_value).

    Reference: PyTorch's clip_grad_value_; Mikolov 2012, "Statistical language models based on neural networks".
    """

    type: Literal["value"] = "value"
    clip_value: Bound = 1.0


class Adaptive(Guarded):
    """Adaptive gradient clipping (AGC): for each unit, g · min(1, clip_factor · max(‖w‖, epsilon) / ‖g‖), with the
    norms of the unit's own weights and gradient.

    A unit is a row of a dense kernel, a filter of a convolution; a bias or a norm's scale is one unit as a whole. The
    output layer is exempt unless `exempt` says otherwise. A step is clipped when at least one unit's gradient was
    scaled.

    Reference: Brock et al. 2021, "High-performance large-scale image recognition without normalization",
    arXiv:2102.06171.
    """

    type: Literal["adaptive"] = "adaptive"
    clip_factor: Annotated[float, Field(gt=0.0, le=1e6)] = 0.01
    epsilon: Annotated[float, Field(gt=0.0, le=1.0)] = 1e-3
    """The least norm of a unit, so that weights of 0 can leave it."""
    exempt: Literal["output"] | Annotated[tuple[LayerName, ...], Field(max_length=512)] = "output"
    """`output`: the output layer; or the names of layers, none for an empty list."""


class Percentile(Guarded):
    """AutoClip: all gradients together are scaled to a norm of at most a percentile of the norms so far, the present
    one included.

    The norms of the last `window` steps count, not of all as in the paper; skipped steps leave none. A step is clipped
    when its norm lies above the percentile: at a percentile of 10 that is nine steps in ten.

    Formula: g ← g · min(1, c / ‖g‖), with c the percentile of ‖g‖ over the last `window` steps.

    Reference: Seetharaman et al. 2020, "AutoClip: adaptive gradient clipping for source separation networks",
    arXiv:2007.14469.
    """

    type: Literal["percentile"] = "percentile"
    percentile: Annotated[float, Field(ge=0.0, lt=100.0)] = 10.0
    window: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """In steps."""


Clipping = Annotated[GlobalNorm | Norm | Value | Adaptive | Percentile, Field(discriminator="type")]
