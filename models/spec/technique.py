"""What every object of a job spec has in common: frozen, strict, finite, and no key that it does not know."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError


class Technique(BaseModel):
    """One object of a spec. A string is never taken for a number, an unknown key is an error, NaN and infinity are
    refused.
    """

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        serialize_by_alias=True,
        validate_default=False,
    )


MAX_WIDTH = 65_536
MAX_LAYERS = 512

Width = Annotated[int, Field(ge=1, le=MAX_WIDTH)]
"""Units of a dense layer, channels of a convolution."""

FINEST_RATE = 2.0**-16
"""What masks are exact to."""


def _not_too_fine(rate: float) -> float:
    if 0.0 < rate < FINEST_RATE:
        detail = "Masks are exact to 1/65,536, and no rate but 0 is below that"
        raise PydanticCustomError("too_fine", detail)
    return rate


Rate = Annotated[float, Field(ge=0.0, lt=1.0), AfterValidator(_not_too_fine)]
"""A share of what there is; 1 would leave nothing."""

Probability = Annotated[float, Field(ge=0.0, le=1.0, description="The probability with which it acts on an example.")]

Weight = Annotated[float, Field(ge=0.0, le=1e6)]
"""The factor of a penalty."""

LayerName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_.]+$")]
"""A layer of the network as `layer_names` lists them: `hidden.0`, `convolutions.1`, `output`, or the name an author
gave it.
"""

Metric = Literal[
    "train/loss",
    "train/accuracy",
    "train/exact_match",
    "train/top_k_accuracy",
    "train/mae",
    "train/rmse",
    "train/r2",
    "validation/loss",
    "validation/accuracy",
    "validation/exact_match",
    "validation/top_k_accuracy",
    "validation/precision",
    "validation/recall",
    "validation/f1",
    "validation/precision_macro",
    "validation/recall_macro",
    "validation/f1_macro",
    "validation/precision_weighted",
    "validation/recall_weighted",
    "validation/f1_weighted",
    "validation/precision_micro",
    "validation/recall_micro",
    "validation/f1_micro",
    "validation/roc_auc",
    "validation/average_precision",
    "validation/calibration_error",
    "validation/mae",
    "validation/rmse",
    "validation/r2",
]
"""What is measured at the end of every epoch, as far as the task has it. `loss` is the data loss alone, without
penalties.
"""

Mode = Literal["auto", "min", "max"]
"""Which way is better; `auto` is `min` for a loss or an error (mae, rmse, calibration_error), else `max`. A resolved
spec says min or max.
"""
