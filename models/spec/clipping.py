"""How large a gradient may be. Clipping comes after the whole gradient, penalties included, is known and before the
step.
"""

from typing import Annotated, Literal

from pydantic import Field

from .technique import Technique


class GlobalNorm(Technique):
    """All gradients together are scaled to a norm of at most max_norm: g · min(1, max_norm / ‖g‖), one norm over all
    parameters.

    The norm before clipping and the share of clipped steps are metrics of the job. PyTorch's clip_grad_norm_,
    TensorFlow's clip_by_global_norm.

    Reference: Pascanu et al. 2013, "On the difficulty of training recurrent neural networks", arXiv:1211.5063.
    """

    type: Literal["global_norm"] = "global_norm"
    max_norm: Annotated[float, Field(gt=0.0, le=1e9)] = 1.0
    norm_type: Annotated[float, Field(ge=1.0, le=100.0)] | Literal["inf"] = 2.0
    nonfinite: Literal["error", "skip_step"] = "error"
    """What a gradient with NaN or infinity does: ends the job as diverged, or skips the step
    (training.max_grad_failures times in a row at most).
    """


Clipping = GlobalNorm
