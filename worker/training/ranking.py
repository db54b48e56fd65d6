"""How well scores rank the positives above the negatives: exact, over all examples at once, ties counted as halves."""

import torch
from torch import Tensor
from torch.nn import functional as F


def rank(scores: Tensor, positive: Tensor) -> Tensor:
    """Area under the ROC curve and average precision of each column, (2, columns) float64.

    Takes scores (columns, examples) and whether each example is a positive of the column. NaN where a column lacks
    positives or negatives, or has a score that is not finite.

    The area is that of the Mann-Whitney statistic, half of 1 + (pairs won − pairs lost) / pairs, counted in whole
    numbers, so that the order of the examples cannot matter. The average precision is the sum of precision times the
    rise in recall over the distinct scores, from high to low.
    """
    ordered, order = scores.contiguous().sort(dim=1)
    positive = positive.gather(1, order)
    below = lower_than(ordered)
    counts = F.pad(positive.cumsum(1), (1, 0))
    positives, examples = counts[:, -1:], scores.shape[1]
    positives_below = counts.gather(1, below)
    won = torch.where(positive, below - positives_below, 0).sum(1)
    lost = torch.where(positive, 0, positives_below).sum(1)
    pairs = (positives * (examples - positives))[:, 0]
    area = (1.0 + (won - lost).double() / pairs) / 2.0
    precision = (positives - positives_below).double() / (examples - below)
    average = torch.where(positive, precision, 0.0).sum(1) / positives[:, 0]
    usable = (pairs > 0) & ordered.isfinite().all(1)
    return torch.where(usable, torch.stack([area, average]), torch.nan)


def lower_than(ordered: Tensor) -> Tensor:
    """How many scores of its column are lower than each, (columns, examples) int64, given in rising order."""
    first = F.pad(ordered[:, 1:] != ordered[:, :-1], (1, 0), value=True)
    places = torch.arange(ordered.shape[1], device=ordered.device)
    return torch.where(first, places, 0).cummax(1).values
