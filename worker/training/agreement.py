"""How predicted classes or labels agree with the right ones, from three counts of each."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Agreement:
    """Of each class or label, (classes,) int64."""

    hits: Tensor
    """Examples of the class that were predicted to be of it."""
    predicted: Tensor
    actual: Tensor

    @property
    def precision(self) -> Tensor:
        """hits / predicted of each class, (classes,) float64; 0 where it is never predicted."""
        return share_of(self.hits, self.predicted)

    @property
    def recall(self) -> Tensor:
        """hits / actual; 0 where there is none."""
        return share_of(self.hits, self.actual)

    @property
    def f1(self) -> Tensor:
        """The harmonic mean of both: 2 hits / (predicted + actual)."""
        return share_of(2 * self.hits, self.predicted + self.actual)

    def averages(self) -> dict[str, Tensor]:
        """Scalars: `macro`, all classes alike without those that are neither there nor predicted; `weighted` by their
        examples; `micro`, of the sums over all classes.
        """
        seen = (self.predicted + self.actual > 0).double()
        means: dict[str, Tensor] = {}
        for average, weights in (("macro", seen), ("weighted", self.actual.double())):
            for name, values in (("precision", self.precision), ("recall", self.recall), ("f1", self.f1)):
                means[f"{name}_{average}"] = (values * weights).sum() / weights.sum()
        return means | {
            "precision_micro": share_of(self.hits.sum(), self.predicted.sum()),
            "recall_micro": share_of(self.hits.sum(), self.actual.sum()),
            "f1_micro": share_of(2 * self.hits.sum(), self.predicted.sum() + self.actual.sum()),
        }


def agreement_of(predicted: Tensor, targets: Tensor, classes: int) -> Agreement:
    """Counts class indices, both (examples,) int64."""
    right = targets[predicted == targets]
    return Agreement(*(torch.bincount(indices, minlength=classes) for indices in (right, predicted, targets)))


def confusions(predicted: Tensor, targets: Tensor, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """The pairs (actual, predicted) that occur and how often, each (pairs,) int64; the most frequent first, of equals
    the one with the lower indices. Takes no room for the pairs that do not occur.
    """
    pairs, counts = torch.unique(targets * classes + predicted, return_counts=True)
    order = counts.argsort(descending=True, stable=True)
    return pairs[order] // classes, pairs[order] % classes, counts[order]


def share_of(part: Tensor, whole: Tensor) -> Tensor:
    return torch.where(whole > 0, part.double() / whole, 0.0)
