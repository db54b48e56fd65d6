"""Whether confidence is deserved: of the predictions made with 80 %, 80 % should be right.

Guo et al. 2017, "On calibration of modern neural networks", arXiv:1706.04599.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Calibration:
    """The predictions by their confidence; bin b of B holds those in ((b − 1) / B, b / B]."""

    examples: Tensor
    """(bins,) int64."""
    accuracy: Tensor
    """Share of right predictions in each bin, (bins,) float64; NaN in an empty one."""
    confidence: Tensor
    """Mean of each bin, likewise."""

    @property
    def error(self) -> Tensor:
        """The expected calibration error: the mean over examples of their bin's |accuracy − confidence|."""
        gaps = (self.accuracy - self.confidence).abs().nan_to_num(0.0)
        return (gaps * self.examples).sum() / self.examples.sum()


def calibrate(confidence: Tensor, right: Tensor, bins: int) -> Calibration:
    """Sorts predictions by their confidence (examples,) from 0 to 1; `right` (examples,) says which are."""
    confidence = confidence.double()
    places = ((confidence * bins).ceil().long() - 1).clamp(0, bins - 1)
    examples = torch.bincount(places, minlength=bins)
    total = torch.stack([torch.where(places == one, confidence, 0.0).sum() for one in range(bins)])
    return Calibration(examples, torch.bincount(places[right], minlength=bins) / examples.double(), total / examples)
