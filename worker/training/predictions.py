"""What an evaluation keeps of its outputs until all examples have been seen, and what they come to.

Each batch leaves its part in arrays on the device, and nothing waits for them before the end: every metric is of the
whole part at once, whatever the batches were. Of an example with a class that is 9 bytes, and 4 more for each output
where these are ranked (`MOST_SCORES` bounds them); numbers to be predicted leave sums only.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import islice
from math import isfinite
from typing import Any, Protocol, assert_never

import torch
from torch import Tensor

from models.spec.evaluation import Evaluation
from models.spec.loss import Hinge, Loss
from models.spec.metrics import AT_ONCE, ranks, scores_of
from models.spec.task import Task
from worker.training.agreement import Agreement, agreement_of, confusions
from worker.training.calibration import Calibration, calibrate
from worker.training.ranking import rank

Report = dict[str, Any]
"""JSON, at most some hundred kilobytes whatever the task."""

RANKED = ("roc_auc", "average_precision")

MOST_ROWS = 1000
"""Classes or targets in a report's table."""

MOST_CONFUSIONS = 500

MOST_MISTAKEN = 60
"""Examples that were taken for something else and are told one by one: those of which the network was surest."""

LARGEST_MATRIX = 50
"""Classes of a confusion matrix that is told whole; of a larger one, the most frequent confusions."""


class Predictions(Protocol):
    """Of one evaluation of one part."""

    def take(self, outputs: Tensor, targets: Tensor) -> None:
        """The next batch: outputs (batch, outputs) float32, targets as stored."""

    def metrics(self) -> dict[str, Tensor]:
        """Scalars by name, without `loss`."""

    def report(self) -> Report:
        """What needs more than a number: tables, confusions, calibration."""


def predictions_of(task: Task, loss: Loss, options: Evaluation, targets: Tensor, device: str) -> Predictions:
    """Room for the predictions of a part with these targets (examples,) or (examples, outputs)."""
    match task.kind:
        case "multiclass" | "binary":
            return ClassPredictions(task, loss, options, targets.to(device))
        case "multi_label":
            return LabelPredictions(task, targets.to(device))
        case "regression":
            return NumberPredictions(task, targets.to(device))
        case _:
            assert_never(task.kind)


class ClassPredictions:
    """One logit for each class, or a single one that tells two apart."""

    def __init__(self, task: Task, loss: Loss, options: Evaluation, targets: Tensor) -> None:
        self.task, self.loss, self.options, self.targets = task, loss, options, targets
        self.taken = 0
        examples, device, columns = len(targets), targets.device, scores_of(task)
        self.predicted = torch.zeros(examples, dtype=torch.int32, device=device)
        self.confidence = torch.zeros(examples, device=device)
        self.in_top = torch.zeros(examples, dtype=torch.bool, device=device)
        self.scores: Tensor | None = None
        if ranks(task):
            precision = torch.float64 if columns == 1 else torch.float32
            self.scores = torch.zeros(examples, columns, dtype=precision, device=device)

    def take(self, outputs: Tensor, targets: Tensor) -> None:
        rows = slice(self.taken, self.taken + len(outputs))
        self.taken += len(outputs)
        logits = outputs if outputs.shape[1] > 1 else torch.cat([torch.zeros_like(outputs), outputs], dim=1)
        self.predicted[rows] = logits.argmax(1).int()
        self.confidence[rows] = logits.softmax(1).amax(1)
        if self.options.top_k is not None:
            highest = logits.topk(self.options.top_k, dim=1).indices
            self.in_top[rows] = (highest == targets[:, None]).any(1)
        if self.scores is not None:
            two = self.scores.shape[1] == 1
            self.scores[rows] = logits.double().diff(dim=1) if two else logits

    @cached_property
    def agreement(self) -> Agreement:
        return agreement_of(self.predicted.long(), self.targets, len(self.task.classes))

    @cached_property
    def calibration(self) -> Calibration:
        return calibrate(self.confidence, self.predicted == self.targets, self.options.calibration_bins)

    @cached_property
    def ranking(self) -> Tensor | None:
        """Area under the ROC curve and average precision, (2, scores) float64.

        Many classes are ranked by the logarithms of probabilities, which compare between examples, or by outputs that
        are none.
        """
        if self.scores is None:
            return None
        if self.scores.shape[1] == 1:
            return rank(self.scores.T, self.targets[None] == 1)
        if isinstance(self.loss, Hinge):
            return rank_columns(self.scores, lambda classes: self.targets == classes[:, None])
        chunks = torch.split(self.scores, max(1, AT_ONCE // self.scores.shape[1]))
        totals = torch.cat([chunk.double().logsumexp(1) for chunk in chunks])
        return rank_columns(self.scores, lambda classes: self.targets == classes[:, None], totals)

    def metrics(self) -> dict[str, Tensor]:
        agreement, examples = self.agreement, len(self.targets)
        metrics = {
            "accuracy": agreement.hits.sum().double() / examples,
            "top_k_accuracy": self.in_top.sum().double() / examples,
            "precision": agreement.precision[1],
            "recall": agreement.recall[1],
            "f1": agreement.f1[1],
            "calibration_error": self.calibration.error,
            **agreement.averages(),
        }
        return metrics | means_of(self.ranking)

    def report(self) -> Report:
        names = self.task.classes
        report: Report = {"classes": table(self.agreement, self.ranking, names), "confusion": self.confusion()}
        report["classes_left_out"] = max(0, len(names) - MOST_ROWS)
        report["mistaken"] = self.mistaken()
        if not isinstance(self.loss, Hinge):
            report["calibration"] = {name: numbers(values) for name, values in vars(self.calibration).items()}
        return report

    def confusion(self) -> Report:
        """`matrix[actual][predicted]`, or the most frequent mistakes and in how many examples the others were made."""
        names, predicted = self.task.classes, self.predicted.long()
        if len(names) <= LARGEST_MATRIX:
            pairs = torch.bincount(self.targets * len(names) + predicted, minlength=len(names) ** 2)
            return {"matrix": pairs.view(len(names), -1).tolist()}
        wrong = predicted != self.targets
        found = [each.tolist() for each in confusions(predicted[wrong], self.targets[wrong], len(names))]
        mistakes = [
            {"actual": names[actual], "predicted": names[guess], "examples": count}
            for actual, guess, count in islice(zip(*found, strict=True), MOST_CONFUSIONS)
        ]
        return {"mistakes": mistakes, "other_mistakes": sum(found[2][MOST_CONFUSIONS:])}

    def mistaken(self) -> list[Report]:
        """The examples, by their places in the part, that were taken for another class with the greatest confidence;
        outputs that are no logits of probabilities have an order and no numbers.
        """
        names, wrong = self.task.classes, (self.predicted != self.targets).nonzero().flatten()
        surest = wrong[self.confidence[wrong].argsort(descending=True, stable=True)[:MOST_MISTAKEN]]
        columns = [each[surest].tolist() for each in (self.targets, self.predicted, self.confidence)]
        return [
            {
                "example": example,
                "actual": names[actual],
                "predicted": names[guess],
                "confidence": None if isinstance(self.loss, Hinge) or not isfinite(confidence) else confidence,
            }
            for example, actual, guess, confidence in zip(surest.tolist(), *columns, strict=True)
        ]


class LabelPredictions:
    """A logit for each label; a label is predicted where its logit is above 0."""

    def __init__(self, task: Task, targets: Tensor) -> None:
        self.task, self.targets, self.taken = task, targets, 0
        self.counts = torch.zeros(3, task.outputs, dtype=torch.int64, device=targets.device)
        """Hits, predicted and actual."""
        self.right = torch.zeros(2, dtype=torch.int64, device=targets.device)
        """Pairs of an example and a label, and examples with all labels."""
        self.scores = torch.zeros(len(targets), task.outputs, device=targets.device) if ranks(task) else None

    def take(self, outputs: Tensor, targets: Tensor) -> None:
        predicted, actual = outputs > 0, targets > 0.5
        self.counts += torch.stack([(predicted & actual).sum(0), predicted.sum(0), actual.sum(0)])
        same = predicted == actual
        self.right += torch.stack([same.sum(), same.all(1).sum()])
        if self.scores is not None:
            self.scores[self.taken : self.taken + len(outputs)] = outputs
        self.taken += len(outputs)

    @cached_property
    def agreement(self) -> Agreement:
        return Agreement(*self.counts)

    @cached_property
    def ranking(self) -> Tensor | None:
        if self.scores is None:
            return None
        return rank_columns(self.scores, lambda labels: self.targets[:, labels].T > 0.5)

    def metrics(self) -> dict[str, Tensor]:
        pairs, examples = self.right.double()
        metrics = {
            "accuracy": pairs / self.targets.numel(),
            "exact_match": examples / len(self.targets),
            **self.agreement.averages(),
        }
        return metrics | means_of(self.ranking)

    def report(self) -> Report:
        names = self.task.classes
        left_out = max(0, len(names) - MOST_ROWS)
        return {"labels": table(self.agreement, self.ranking, names), "labels_left_out": left_out}


class NumberPredictions:
    """Sums over the examples, in float64, for each target."""

    def __init__(self, task: Task, targets: Tensor) -> None:
        self.task, self.examples = task, len(targets)
        self.means = targets.mean(0, dtype=torch.float64)
        self.sums = torch.zeros(3, task.outputs, dtype=torch.float64, device=targets.device)

    def take(self, outputs: Tensor, targets: Tensor) -> None:
        errors = outputs.double() - targets
        self.sums += torch.stack([errors.abs().sum(0), errors.square().sum(0), (targets - self.means).square().sum(0)])

    def metrics(self) -> dict[str, Tensor]:
        """All targets taken together."""
        absolute, squared, variation = self.sums.sum(1)
        count = self.examples * self.task.outputs
        return {"mae": absolute / count, "rmse": (squared / count).sqrt(), "r2": explained(squared, variation)}

    def report(self) -> Report:
        absolute, squared, variation = self.sums[:, :MOST_ROWS]
        columns = {
            "mean": self.means[:MOST_ROWS],
            "mae": absolute / self.examples,
            "rmse": (squared / self.examples).sqrt(),
            "r2": explained(squared, variation),
        }
        names = self.task.targets or tuple(str(index) for index in range(self.task.outputs))
        told = {"name": list(names[:MOST_ROWS]), **{name: numbers(column) for name, column in columns.items()}}
        return {"targets": told, "targets_left_out": max(0, self.task.outputs - MOST_ROWS)}


def rank_columns(scores: Tensor, positive_of: Callable[[Tensor], Tensor], shift: Tensor | None = None) -> Tensor:
    """`rank` of every column of scores (examples, columns), some at a time, less a shift (examples,) of all of them.

    `positive_of` says of some columns (n,) which examples are their positives, (n, examples).
    """
    examples, columns = scores.shape
    indices = torch.arange(columns, device=scores.device)
    some = torch.split(indices, max(1, AT_ONCE // examples))
    shift = torch.zeros(1, dtype=torch.float64, device=scores.device) if shift is None else shift
    return torch.cat([rank(scores[:, each].T - shift, positive_of(each)) for each in some], dim=1)


def means_of(ranking: Tensor | None) -> dict[str, Tensor]:
    """Over the columns that have positives and negatives."""
    return {} if ranking is None else dict(zip(RANKED, ranking.nanmean(1), strict=True))


def table(agreement: Agreement, ranking: Tensor | None, names: Sequence[str]) -> Report:
    """Columns of equal length; of too many classes those with the lowest F1, the lowest first."""
    shown = torch.arange(len(names), device=agreement.hits.device)
    if len(names) > MOST_ROWS:
        shown = agreement.f1.argsort(stable=True)[:MOST_ROWS]
    columns = {
        "examples": agreement.actual,
        "predicted": agreement.predicted,
        "precision": agreement.precision,
        "recall": agreement.recall,
        "f1": agreement.f1,
    }
    if ranking is not None and ranking.shape[1] == len(names):
        columns |= dict(zip(RANKED, ranking, strict=True))
    told = {name: numbers(column[shown]) for name, column in columns.items()}
    return {"name": [names[index] for index in shown.tolist()], **told}


def explained(squared: Tensor, variation: Tensor) -> Tensor:
    """1 − Σ(y − ŷ)² / Σ(y − ȳ)²; NaN where the targets do not vary."""
    return torch.where(variation > 0, 1.0 - squared / variation, torch.nan)


def numbers(values: Tensor) -> list[float | int | None]:
    """As JSON has them: null for what is not finite."""
    return [value if isfinite(value) else None for value in values.tolist()]
