"""What is measured at the end of every epoch: each metric's name, meaning and range, and which tasks have it."""

from dataclasses import dataclass
from typing import Literal, assert_never, get_args

from .loss import Hinge, Loss
from .task import Task
from .technique import Metric

Kind = Literal["two classes", "more classes", "labels", "numbers"]

ONE_CLASS: tuple[Kind, ...] = ("two classes", "more classes")
"""Each example is of one."""

MOST_SCORES = 2**26
"""Outputs of one evaluation that are kept to be ranked: 256 MiB. Beyond, nothing that needs a ranking is measured."""

AT_ONCE = 2**20
"""Scores that are ranked at once, or those of all examples where there are more."""

RANKING_BYTES = 80
"""For each score that is ranked at once, measured."""

USUAL_TOP_K = 5


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric."""

    name: str
    kinds: tuple[Kind, ...]
    formula: str
    range: str
    better: Literal["min", "max"] = "max"
    in_training: bool = False
    """Whether the training part has it too: as a running sum over batches that were augmented and met weights that
    went on changing.
    """
    needs: Literal["nothing", "probabilities", "ranking", "top_k"] = "nothing"


MEASURES = (
    Measure(
        "loss",
        get_args(Kind),
        "The data loss of the spec: its mean over examples (over their class weights where there are any), without "
        "penalties.",
        "from 0; `poisson` may be negative",
        better="min",
        in_training=True,
    ),
    Measure(
        "accuracy",
        (*ONE_CLASS, "labels"),
        "Right / examples. The predicted class is the one with the highest output; of one logit, the second class "
        "where it is above 0. Of labels, each predicted where its logit is above 0: right / (examples · labels), "
        "which is 1 − the Hamming loss.",
        "0 to 1",
        in_training=True,
    ),
    Measure(
        "exact_match",
        ("labels",),
        "Share of the examples with every label right (subset accuracy).",
        "0 to 1",
        in_training=True,
    ),
    Measure(
        "top_k_accuracy",
        ("more classes",),
        "Share of the examples whose class is among the `evaluation.top_k` with the highest outputs.",
        "0 to 1",
        in_training=True,
        needs="top_k",
    ),
    Measure(
        "precision",
        ("two classes",),
        "Of the second class: TP / (TP + FP); 0 where it is never predicted.",
        "0 to 1",
    ),
    Measure(
        "recall",
        ("two classes",),
        "Of the second class: TP / (TP + FN); 0 where there is none of it.",
        "0 to 1",
    ),
    Measure(
        "f1",
        ("two classes",),
        "Of the second class: 2 TP / (2 TP + FP + FN).",
        "0 to 1",
    ),
    *(
        Measure(
            f"{name}_macro",
            (*ONE_CLASS, "labels"),
            f"Mean of the {word} of every class or label, all alike; one that is neither there nor predicted is left "
            "out.",
            "0 to 1",
        )
        for name, word in (("precision", "precision"), ("recall", "recall"), ("f1", "F1"))
    ),
    *(
        Measure(
            f"{name}_weighted",
            ONE_CLASS,
            f"Mean of the {word} of every class, weighted by its number of examples.",
            "0 to 1",
        )
        for name, word in (("precision", "precision"), ("recall", "recall"), ("f1", "F1"))
    ),
    *(
        Measure(f"{name}_micro", ("labels",), f"{formula}, each summed over all labels first.", "0 to 1")
        for name, formula in (
            ("precision", "TP / (TP + FP)"),
            ("recall", "TP / (TP + FN)"),
            ("f1", "2 TP / (2 TP + FP + FN)"),
        )
    ),
    Measure(
        "roc_auc",
        (*ONE_CLASS, "labels"),
        "P(score of a positive > score of a negative) + ½ P(equal), over all pairs: the area under the ROC curve, "
        "exact. Two classes: the second is the positive. More: each class against the rest by its probability (under "
        "`hinge` by its output); labels: each by its logit; and the mean over those that have positives and negatives.",
        "0 to 1; chance is 0.5",
        needs="ranking",
    ),
    Measure(
        "average_precision",
        (*ONE_CLASS, "labels"),
        "Σ (R_n − R_(n−1)) P_n over the distinct scores from high to low: precision at each, weighted by the rise in "
        "recall, without interpolation. Classes as for `roc_auc`.",
        "0 to 1; chance is the share of positives",
        needs="ranking",
    ),
    Measure(
        "calibration_error",
        ONE_CLASS,
        "Σ_b n_b / n · abs(accuracy_b − confidence_b) over `evaluation.calibration_bins` bins ((b − 1) / B, b / B] of "
        "the predicted class's probability (expected calibration error; Guo et al. 2017, arXiv:1706.04599).",
        "0 to 1",
        better="min",
        needs="probabilities",
    ),
    Measure("mae", ("numbers",), "Mean of abs(y − ŷ) over examples and targets.", "from 0", "min", True),
    Measure("rmse", ("numbers",), "√ of the mean of (y − ŷ)² over examples and targets.", "from 0", "min", True),
    Measure(
        "r2",
        ("numbers",),
        "1 − Σ(y − ŷ)² / Σ(y − ȳ)², both sums over examples and targets, ȳ the mean of each target in the part.",
        "up to 1; 0 is as good as the mean",
        in_training=True,
    ),
)


def measured_on(task: Task, loss: Loss | None, top_k: int | None) -> tuple[Metric, ...]:
    """The metrics of a task in the order of `MEASURES`; those of the validation part only where there is one."""
    parts = ("train", "validation") if task.validation else ("train",)
    known: dict[str, Metric] = {name: name for name in get_args(Metric)}
    return tuple(
        known[f"{part}/{measure.name}"]
        for part in parts
        for measure in MEASURES
        if _has(measure, task, loss, top_k) and (part == "validation" or measure.in_training)
    )


def _has(measure: Measure, task: Task, loss: Loss | None, top_k: int | None) -> bool:
    if kind_of(task) not in measure.kinds:
        return False
    match measure.needs:
        case "nothing":
            return True
        case "probabilities":
            return not isinstance(loss, Hinge)
        case "ranking":
            return ranks(task)
        case "top_k":
            return top_k is not None


def kind_of(task: Task) -> Kind:
    match task.kind:
        case "regression":
            return "numbers"
        case "multi_label":
            return "labels"
        case "binary" | "multiclass":
            return "two classes" if len(task.classes) == 2 else "more classes"
        case _:
            assert_never(task.kind)


def scores_of(task: Task) -> int:
    """How many scores of an example are ranked: of two classes that of the second."""
    match kind_of(task):
        case "numbers":
            return 0
        case "two classes":
            return 1
        case "more classes" | "labels":
            return task.outputs


def ranks(task: Task) -> bool:
    return 0 < scores_of(task) * task.validation <= MOST_SCORES


def evaluation_bytes(task: Task) -> int:
    """What an evaluation keeps of all its examples, and what the ranking of their scores needs at its height."""
    of_class = 9 * task.validation if kind_of(task) in ONE_CLASS else 0
    if not ranks(task):
        return of_class
    scores = scores_of(task) * task.validation
    kept = (8 if kind_of(task) == "two classes" else 4) * scores
    return of_class + kept + RANKING_BYTES * max(task.validation, min(scores, AT_ONCE))


def usual_top_k(task: Task) -> int | None:
    return USUAL_TOP_K if kind_of(task) == "more classes" and len(task.classes) > USUAL_TOP_K else None


def better(metric: Metric) -> Literal["min", "max"]:
    """Which way of this metric is better."""
    name = metric.partition("/")[2]
    return next(measure.better for measure in MEASURES if measure.name == name)
