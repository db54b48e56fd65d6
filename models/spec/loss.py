"""What is minimized: a mean over the examples of a batch. Networks end in logits; the loss contains softmax and sigmoid
itself.
"""

from typing import Annotated, Literal

from pydantic import Field

from .technique import Technique

ClassWeight = Annotated[float, Field(ge=0.0, le=1e6)]


class CrossEntropy(Technique):
    """Softmax cross-entropy of one class per example: −w_y · log softmax(z)_y, divided by the sum of the w_y of the
    batch.

    `class_weights`: `none`; `balanced`, n / (classes · n_c) from the training part; or one number per class in the
    order of the classes.
    """

    type: Literal["cross_entropy"] = "cross_entropy"
    class_weights: (
        Literal["none", "balanced"] | Annotated[tuple[ClassWeight, ...], Field(min_length=1, max_length=65_536)]
    ) = "none"


class BinaryCrossEntropy(Technique):
    """Sigmoid cross-entropy of two classes from one logit: −y · log σ(z) − (1 − y) · log(1 − σ(z)); the second class is
    y = 1.
    """

    type: Literal["binary_cross_entropy"] = "binary_cross_entropy"


class MeanSquaredError(Technique):
    """Mean of (z − y)² over examples and outputs."""

    type: Literal["mse"] = "mse"


class MeanAbsoluteError(Technique):
    """Mean of |z − y| over examples and outputs."""

    type: Literal["mae"] = "mae"


class Huber(Technique):
    """½(z − y)² where |z − y| ≤ delta, else delta · (|z − y| − delta / 2); mean over examples and outputs.

    Reference: Huber 1964, "Robust estimation of a location parameter".
    """

    type: Literal["huber"] = "huber"
    delta: Annotated[float, Field(gt=0.0, le=1e9)] = 1.0


Loss = Annotated[
    CrossEntropy | BinaryCrossEntropy | MeanSquaredError | MeanAbsoluteError | Huber, Field(discriminator="type")
]
