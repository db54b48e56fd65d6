"""How long the run lasts, in which portions, and when it ends early."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from .averaging import Averaging
from .technique import Metric, Mode, Technique

MAX_EPOCHS = 100_000
MAX_STEPS = 100_000_000


class EarlyStopping(Technique):
    """Ends the run when the metric has not become better by more than `min_delta` for `patience` evaluations in a row
    (one at each epoch's end).

    Reference: Prechelt 1998, "Early stopping — but when?".
    """

    metric: Metric = "validation/loss"
    mode: Mode = "auto"
    patience: Annotated[int, Field(ge=1, le=MAX_EPOCHS)] = 5
    min_delta: Annotated[float, Field(ge=0.0, le=1e9)] = 0.0
    """In the metric's own unit."""
    restore_best: bool = True
    """The final weights are those of the best evaluation."""


class Training(Technique):
    """Either `epochs` or `steps`. An epoch sees every training example once; its last batch holds what is left.

    A step is one update of the weights. With `accumulate` it takes so many batches, one after the other, and counts
    their examples as one large batch would; penalties, clipping and the update come once. Batch norms and
    batch-wise augmentation still see one batch at a time.
    """

    epochs: Annotated[int, Field(ge=1, le=MAX_EPOCHS)] | None = None
    steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] | None = None
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 32
    accumulate: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Batches per step; the last step of an epoch takes what is left."""
    replicas: Annotated[int, Field(ge=1, le=64)] = 1
    """Equal parts of every batch, each computed by a copy of the network on the same weights: the arithmetic of
    data-parallel training. Batch norms and dropout see one part at a time, and so does augmentation where a batch has
    500,000 numbers or more. On a processor each has cores of its own, which small networks use better than all cores
    together; a GPU computes them one by one.
    """
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the products in the network; weights, loss, gradients and the update are float32 always. `float16` scales the
    loss, and halves the scale wherever a gradient overflows: such steps are skipped, in a row at most
    `max_grad_failures` and the 24 that bring the largest scale down to 1.
    """
    compile: bool = False
    """The network's pass in kernels that are written for it (`torch.compile`). Writing them takes half a minute to some
    minutes at the start, and seconds the next time on the same machine: it pays on a GPU, where the run takes several
    times as long. A processor is no faster with it. The last bits are others than without. A pause or a cancel waits
    until it is done.
    """
    averaging: Averaging | None = None
    early_stopping: EarlyStopping | None = None
    time_limit: Annotated[int, Field(ge=1, le=30 * 24 * 3600)] | None = None
    """Seconds of training, over all attempts."""
    max_grad_failures: Annotated[int, Field(ge=0, le=100_000)] = 10
    """With `clipping.nonfinite: "skip_step"` or in float16: so many steps in a row may be skipped before the job ends
    as diverged.
    """
    deterministic: bool = True
    """On a GPU only algorithms that give the same bits each time; where PyTorch has none, the job's log says so. On a
    processor all of ours do.
    """

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise PydanticCustomError("training_length", "Say either `epochs` or `steps`: exactly one of them")
        return self

    @property
    def examples_per_step(self) -> int:
        """Of every step but the last of an epoch, which may see fewer."""
        return self.batch_size * self.accumulate
