"""The end of an epoch: what it measured, and what follows from that for the rest of the run."""

import time

import torch
from torch import Tensor

from models.spec.averaging import Swa
from models.spec.schedule import Plateau
from worker.training.averaging import refresh_norms as refresh_statistics
from worker.training.clipping import gradient_norm
from worker.training.data import Part, slices
from worker.training.events import EpochDone, Metrics
from worker.training.loss import measure
from worker.training.metrics import empty_sums, metrics_of, ratio, sums_of
from worker.training.run import EVALUATION_BATCH, Run
from worker.training.watching import is_better


def evaluate(run: Run) -> EpochDone:
    """Ends the epoch: measures, lets everybody who watches a metric know, and says whether the run is over."""
    seconds = time.monotonic() - run.epoch_begun
    metrics = metrics_of(run.data.task, run.sums, "train") | metrics_of_steps(run)
    with run.averaged():
        refresh_norms(run)
        if run.data.validation is not None:
            metrics |= metrics_of(run.data.task, measure_part(run, run.data.validation), "validation")
    run.position.epoch += 1
    run.position.last = {**metrics, "epoch": run.position.epoch}
    run.sums = empty_sums(run.data.task, run.device)
    run.totals.zero_()
    watch(run, metrics)
    steps = run.position.step - run.steps_at_epoch_begin
    examples = min(steps * run.spec.training.examples_per_step, len(run.data.training))
    run.steps_at_epoch_begin = run.position.step
    run.epoch_begun = run.flushed_at = time.monotonic()
    speed = examples / max(seconds, 1e-9)
    return EpochDone(run.position.epoch, run.position.step, metrics, seconds, speed, run.progress())


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
def measure_part(run: Run, part: Part) -> Tensor:
    """The sums over a whole part, unchanged and without dropout."""
    run.network.eval()
    sums = empty_sums(run.data.task, run.device)
    for positions in slices(len(part), max(EVALUATION_BATCH, run.spec.training.batch_size)):
        inputs, targets = run.feed.evaluation_batch(part, positions)
        with run.precision.autocast():
            outputs = run.network(inputs)
        outputs = outputs.float()
        loss = measure(run.loss, outputs, targets, run.class_weights)
        sums += sums_of(run.data.task, run.loss, outputs, targets, loss, run.class_weights)
    run.network.train()
    return sums


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
            position.restorable, run.restorable = position.last, run.weights()
        if position.stopping.waited >= rule.patience:
            position.ended = "early_stopping"
    if run.out_of_time:
        position.ended = "time_limit"
    if position.step >= run.clock.steps:
        position.ended = "completed"
