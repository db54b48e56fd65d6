"""Whether what a spec watches and measures is there to be measured."""

from collections.abc import Iterator

from .errors import SpecError, closest
from .job import JobSpec
from .metrics import MOST_SCORES, kind_of, measured_on, ranks, scores_of, usual_top_k
from .schedule import Plateau
from .task import Task
from .technique import Metric


def metric_errors(spec: JobSpec, task: Task | None) -> Iterator[SpecError]:
    """Metrics that are watched and not measured, and a `top_k` that does not fit."""
    for pointer, metric in _watched(spec):
        if metric.startswith("validation/") and spec.dataset.validation is None:
            detail = (
                "Watches a validation metric, and nothing is held back for validation: "
                'add "validation": {"fraction": 0.1} to the dataset'
            )
            yield SpecError(pointer, "no_validation", detail, suggestion="/dataset/validation")
        elif task is not None:
            yield from _unmeasured(spec, task, pointer, metric)
    if task is not None and spec.evaluation.top_k is not None:
        yield from _top_k(task, spec.evaluation.top_k)


def _watched(spec: JobSpec) -> Iterator[tuple[str, Metric]]:
    if isinstance(spec.schedule, Plateau):
        yield "/schedule/metric", spec.schedule.metric
    if spec.training.early_stopping is not None:
        yield "/training/early_stopping/metric", spec.training.early_stopping.metric
    if spec.checkpoints.keep_best is not None:
        yield "/checkpoints/keep_best/metric", spec.checkpoints.keep_best.metric


def _unmeasured(spec: JobSpec, task: Task, pointer: str, metric: Metric) -> Iterator[SpecError]:
    allowed = measured_on(task, spec.loss, spec.evaluation.top_k or usual_top_k(task))
    if metric not in allowed:
        part, _, name = metric.partition("/")
        near = [other for other in allowed if other.startswith(part)]
        suggestion = closest(metric, near) or f"{part}/loss"
        yield SpecError(pointer, "metric_does_not_fit", _why(task, name), allowed, suggestion)


def _why(task: Task, name: str) -> str:
    classes = len(task.classes)
    match kind_of(task):
        case "numbers":
            return "This is not measured where the targets are numbers"
        case kind if name in ("mae", "rmse", "r2"):
            return f"This is not measured where the targets are {'labels' if kind == 'labels' else 'classes'}"
        case _ if name in ("roc_auc", "average_precision") and not ranks(task):
            outputs = scores_of(task) * task.validation
            return f"{outputs:,} outputs are too many to be ranked after every epoch: at most {MOST_SCORES:,} are"
        case "labels":
            return "This is not measured where an example has any number of labels"
        case _ if name == "exact_match" or name.endswith("_micro"):
            return "This is for examples with any number of labels; of one class each, `accuracy` is the same"
        case "more classes" if name == "top_k_accuracy":
            return f"`evaluation.top_k` is not set, and there are only {classes} classes"
        case _ if name == "calibration_error":
            return "The outputs under `hinge` are no probabilities: there is no calibration to measure"
        case _:
            return f"This is not measured with {classes} classes"


def _top_k(task: Task, top_k: int) -> Iterator[SpecError]:
    pointer = "/evaluation/top_k"
    if kind_of(task) != "more classes":
        detail = "Ranks are only counted among more than two classes: leave it out"
        yield SpecError(pointer, "metric_does_not_fit", detail)
    elif top_k >= len(task.classes):
        detail = f"With {len(task.classes)} classes the first {top_k} are all of them, and the accuracy always 1"
        yield SpecError(pointer, "top_k_too_large", detail, suggestion=str(min(5, len(task.classes) - 1)))
