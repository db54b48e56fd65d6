"""What every object of a job spec has in common: frozen, strict, finite, and no key that it does not know."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


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

Rate = Annotated[float, Field(ge=0.0, lt=1.0)]
"""A share of what there is; 1 would leave nothing."""

Probability = Annotated[float, Field(ge=0.0, le=1.0)]

Weight = Annotated[float, Field(ge=0.0, le=1e6)]
"""The factor of a penalty."""

LayerName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_.]+$")]
"""A layer of the network as `layer_names` lists them: `hidden.0`, `convolutions.1`, `output`, or the name an author
gave it.
"""

Metric = Literal[
    "train/loss", "train/accuracy", "validation/loss", "validation/accuracy", "validation/mae", "validation/r2"
]
"""What is measured at the end of every epoch. `loss` is the data loss alone, without penalties."""

Mode = Literal["auto", "min", "max"]
"""Which way is better; `auto` is `max` for accuracy and r2, else `min`. A resolved spec says min or max."""


def better(metric: Metric) -> Literal["min", "max"]:
    """Which way of this metric is better."""
    return "max" if metric.endswith(("/accuracy", "/r2")) else "min"
