"""The end of an epoch: what it measured, and what follows from that for the rest of the run."""

import time
from collections.abc import Mapping

import torch
from torch import Tensor

from models.spec.averaging import Swa
from models.spec.dataset import Split
from models.spec.metrics import measured_on
from models.spec.schedule import Plateau
from models.spec.task import TRAIN
from worker.training.averaging import refresh_norms as refresh_statistics
from worker.training.clipping import gradient_norm
from worker.training.data import Part, slices
from worker.training.events import EpochDone, Metrics
from worker.training.loss import measure, predictions, share
from worker.training.metrics import metrics_of, ratio
from worker.training.predictions import Predictions, Report, predictions_of
from worker.training.run import EVALUATION_BATCH, Run
from worker.training.watching import is_better

PART = "validation/"


def evaluate(run: Run) -> EpochDone:
    """Ends the epoch: measures, lets everybody who watches a metric know, and says whether the run is over."""
    begun = time.monotonic()
    seconds = begun - run.epoch_begun
    run.replicas.together()
    metrics = metrics_of(run.data.task, run.sums) | metrics_of_steps(run)
    predicted = None
    with run.shown():
        refresh_norms(run)
        if run.data.validation is not None:
            measured, predicted = measure_part(run, run.data.validation)
            metrics |= measured
    run.position.epoch += 1
    run.position.last = {**metrics, "epoch": run.position.epoch}
    run.sums = run.no_sums()
    run.totals.zero_()
    watch(run, metrics)
    if run.improved and predicted is not None:
        run.position.report = {"epoch": run.position.epoch, **located(run, predicted.report())}
    steps = run.position.step - run.steps_at_epoch_begin
    examples = min(steps * run.spec.training.examples_per_step, len(run.data.training))
    run.steps_at_epoch_begin = run.position.step
    run.epoch_begun = run.flushed_at = time.monotonic()
    return EpochDone(
        epoch=run.position.epoch,
        step=run.position.step,
        metrics=metrics,
        seconds=seconds,
        samples_per_second=examples / max(seconds, 1e-9),
        evaluation_seconds=run.epoch_begun - begun,
        layers=run.layerwise.take(),
        progress=run.progress(),
    )


def located(run: Run, report: Report) -> Report:
    """The same, with examples called by the split of the data set that they are in and their places in it."""
    validation, rows = run.spec.dataset.validation, run.held_rows
    for one in report.get("mistaken", []):
        one["example"] = one["example"] if rows is None else int(rows[one["example"]])
        one["split"] = validation.split if isinstance(validation, Split) else TRAIN
    return report


def metrics_of_steps(run: Run) -> dict[str, float]:
    """Of the epoch's steps: shares of all, means over those that were not skipped; and what they made of the
    weights.
    """
    _, penalty, norm, clipped, skipped = run.totals.tolist()
    steps = run.position.step - run.position.epoch * run.clock.steps_per_epoch
    kernels = [parameter for parameter in run.parameters if parameter.dim() > 1]
    zeros = sum(kernel.numel() - int(kernel.count_nonzero()) for kernel in kernels)
    return {
        "train/penalty": ratio(penalty, steps - skipped),
        "train/gradient_norm": ratio(norm, steps - skipped),
        "train/clipped_share": ratio(clipped, steps),
        "train/skipped_share": ratio(skipped, steps),
        "train/weight_norm": gradient_norm([parameter.detach() for parameter in run.parameters]).item(),
        "train/sparsity": ratio(zeros, sum(kernel.numel() for kernel in kernels)),
    }


def refresh_norms(run: Run) -> None:
    """Weights that are a mean of many have never been trained with: their norms need statistics of their own."""
    if run.average is None or not isinstance(run.average.technique, Swa):
        return
    if run.average.has_begun(run.position.step):
        training, size = run.data.training, run.spec.training.batch_size
        batches = (run.feed.evaluation_batch(training, batch)[0] for batch in slices(len(training), size))
        refresh_statistics(run.network, batches)
        run.average.take_buffers()


@torch.inference_mode()
def measure_part(run: Run, part: Part) -> tuple[dict[str, float], Predictions]:
    """The metrics of a whole part, unchanged and without dropout, and the predictions they were made of.

    Nothing waits for the device before all batches are under way.
    """
    run.network.eval()
    predicted = predictions_of(run.data.task, run.loss, run.spec.evaluation, part.all_targets, run.device)
    weights = None if run.class_weights is None else run.class_weights.double()
    total, counted = torch.zeros(2, dtype=torch.float64, device=run.device)
    for positions in slices(len(part), max(EVALUATION_BATCH, run.spec.training.batch_size)):
        inputs, targets = run.feed.evaluation_batch(part, positions)
        with run.precision.autocast():
            outputs = run.network(inputs)
        outputs = outputs.float()
        count = share(run.loss, targets, weights)
        total, counted = total + measure(run.loss, outputs.double(), targets, weights) * count, counted + count
        predicted.take(predictions(run.loss, outputs), targets)
    run.network.train()
    return told(run, {"loss": total / counted, **predicted.metrics()}), predicted


def told(run: Run, measured: Mapping[str, Tensor]) -> dict[str, float]:
    """Those of the scalars that the task has, by the names that a spec knows them by."""
    names = [name for name in measured_on(run.data.task, run.loss, run.spec.evaluation.top_k) if PART in name]
    values = torch.stack([measured[name.removeprefix(PART)] for name in names]).tolist()
    return dict(zip(names, values, strict=True))


def watch(run: Run, metrics: Metrics) -> None:
    position, training = run.position, run.spec.training
    if isinstance(run.spec.schedule, Plateau):
        position.plateau = position.plateau.after(metrics[run.spec.schedule.metric], run.spec.schedule)
    best = run.spec.checkpoints.keep_best
    if best is not None and is_better(best.mode, metrics[best.metric], position.best.get(best.metric)):
        position.best, run.improved = position.last, True
    if training.early_stopping is not None:
        rule = training.early_stopping
        position.stopping = position.stopping.after(metrics[rule.metric], rule)
        if position.stopping.waited == 0 and rule.restore_best:
            position.restorable, run.restorable = position.last, run.source()
        if position.stopping.waited >= rule.patience:
            position.ended = "early_stopping"
    if run.out_of_time:
        position.ended = "time_limit"
    if position.step >= run.clock.steps:
        position.ended = "completed"
