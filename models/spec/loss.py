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

    `class_weights`: `none`; `balanced`, n / (classes · n_c) from the training part, 0 for a class that it lacks; or one
    number per class in the order of the classes. Where targets are shares s of classes (mixed or smoothed), it is −Σ_c
    w_c · s_c · log softmax(z)_c, divided by the sum of w_c · s_c of the batch; PyTorch divides smoothed targets by the
    sum of the w_y.

    Reference: Goodfellow et al. 2016, "Deep learning", section 6.2.2.3; PyTorch's `cross_entropy`.
    """

    type: Literal["cross_entropy"] = "cross_entropy"
    class_weights: (
        Literal["none", "balanced"] | Annotated[tuple[ClassWeight, ...], Field(min_length=1, max_length=65_536)]
    ) = "none"


class BinaryCrossEntropy(Technique):
    """Sigmoid cross-entropy of two classes from one logit: −y · log σ(z) − (1 − y) · log(1 − σ(z)); the second class is
    y = 1. Of multi-label targets the mean over examples and labels, each label with a logit of its own.

    Reference: Goodfellow et al. 2016, "Deep learning", section 6.2.2.2; PyTorch's `binary_cross_entropy_with_logits`.
    """

    type: Literal["binary_cross_entropy"] = "binary_cross_entropy"


class MeanSquaredError(Technique):
    """Mean of (z − y)² over examples and outputs.

    Formula: Σ (z − y)² / n.

    Reference: PyTorch's `mse_loss`.
    """

    type: Literal["mse"] = "mse"


class MeanAbsoluteError(Technique):
    """Mean of |z − y| over examples and outputs.

    Formula: Σ |z − y| / n.

    Reference: PyTorch's `l1_loss`.
    """

    type: Literal["mae"] = "mae"


class Huber(Technique):
    """½(z − y)² where |z − y| ≤ delta, else delta · (|z − y| − delta / 2); mean over examples and outputs.

    Reference: Huber 1964, "Robust estimation of a location parameter".
    """

    type: Literal["huber"] = "huber"
    delta: Annotated[float, Field(gt=0.0, le=1e9)] = 1.0


class Focal(Technique):
    """Focal loss: −a_y · (1 − p_y)^gamma · log p_y, mean over the examples; examples that are already right count less.

    p is the softmax over the classes, or with `class_mode: "binary"` the sigmoid of one logit; of multi-label targets
    the sigmoid of each label's logit, and the mean is over examples and labels. `gamma` of 0 is cross-entropy.

    Reference: Lin et al. 2017, "Focal loss for dense object detection", arXiv:1708.02002.
    """

    type: Literal["focal"] = "focal"
    gamma: Annotated[float, Field(ge=0.0, le=100.0)] = 2.0
    alpha: Annotated[tuple[ClassWeight, ...], Field(min_length=2, max_length=65_536)] | None = None
    """a: one number per class in the order of the classes, or of multi-label targets one for a label's absence and one
    for its presence; 1 for each unless said. The paper's alpha of 0.25 is `[0.75, 0.25]`.
    """


class Hinge(Technique):
    """Hinge loss: Σ over the other classes i of max(0, margin − z_y + z_i) / classes, mean over the examples.

    With `class_mode: "binary"` there is one logit: max(0, margin − s · z), with s = 1 for the second class and −1 for
    the first.

    Reference: Weston & Watkins 1999, "Support vector machines for multi-class pattern recognition"; PyTorch's
    `multi_margin_loss`.
    """

    type: Literal["hinge"] = "hinge"
    margin: Annotated[float, Field(gt=0.0, le=1e9)] = 1.0


class Poisson(Technique):
    """Poisson loss for counts: exp(z) − y · z, mean over examples and outputs; the network gives the logarithm z of the
    rate, and errors are measured on exp(z).

    Reference: Nelder & Wedderburn 1972, "Generalized linear models"; PyTorch's `poisson_nll_loss`.
    """

    type: Literal["poisson"] = "poisson"


Loss = Annotated[
    CrossEntropy | BinaryCrossEntropy | Focal | Hinge | MeanSquaredError | MeanAbsoluteError | Huber | Poisson,
    Field(discriminator="type"),
]
