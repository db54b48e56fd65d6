"""Where weights come from when they do not start at random."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from .duration import PositiveDuration
from .technique import LayerName, Technique

Id = Annotated[str, Field(min_length=1, max_length=100)]
Layers = Annotated[tuple[LayerName, ...], Field(max_length=512)]


class CheckpointOf(Technique):
    """A checkpoint by the job that took it: the best one so far or the newest, chosen when this job is made."""

    job: Id
    which: Literal["best", "last"] = "best"


def _kind(value: Any) -> str:
    return "of a job" if isinstance(value, dict | CheckpointOf) else "an id"


class WarmStart(Technique):
    """Starts from the weights of an earlier job's checkpoint; what is not taken from it starts as `initialization`
    says.

    Layers are matched by their names and the shapes of their tensors; running means and variances of batch norms come
    along. The optimizer, its averages and the schedule start anew.

    Frozen layers keep the weights they start with: they take no gradient, penalty, decay or step, clipping does not see
    them, their batch norms normalize with the statistics that they have, and the optimizer's averages of them stay at
    their start. Dropout inside them acts as everywhere.

    Reference: Yosinski et al. 2014, "How transferable are features in deep neural networks?", arXiv:1411.1792.
    """

    checkpoint: Annotated[Annotated[Id, Tag("an id")] | Annotated[CheckpointOf, Tag("of a job")], Discriminator(_kind)]
    """The id of a checkpoint, or {"job": …, "which": "best"}; a resolved spec has the id."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """Of the weights: a resolved spec says it, and if it is said they must be these."""
    layers: Literal["all"] | Annotated[Layers, Field(min_length=1)] = "all"
    """Which ones to take: `stem` means that layer and all below it, as `stages.0` does. With `all` both networks have
    the same layers, the output layer aside.
    """
    output: Literal["auto", "keep", "replace"] = "auto"
    """The last layer with a kernel (the head). `auto` keeps it where both tasks have the same classes (or as many
    numbers to predict) and it is among `layers`; a resolved spec says which.
    """
    freeze: Literal["body"] | Layers = ()
    """Layers that do not learn, named as in `layers`; `body` is all but the output layer."""
    freeze_until: PositiveDuration | None = None
    """When they begin to learn; never unless said."""
    normalization: Literal["auto", "inherit", "fit"] = "auto"
    """`inherit` scales the inputs by the mean and spread that the earlier job found, which its first layers have
    learned to expect; `fit` by those of this job's training part. `auto` inherits where the first layer is taken and
    both jobs read the same channels, columns or features in the same way; a resolved spec says which.
    """
