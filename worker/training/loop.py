"""Training, from the first step to the last, as a generator of events.

Randomness is a function of (seed, epoch, step), every number of a step stays on the device until a flush, and
whatever happens between two steps (a flush, an evaluation, a checkpoint) changes nothing about the next one: a run
that was interrupted ends with the same bits as one that was not.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from models.spec.job import JobSpec
from worker.training.applied import applied, begin, unseen, verify
from worker.training.clipping import gradient_norm
from worker.training.control import Control
from worker.training.data import Dataset
from worker.training.evaluation import evaluate
from worker.training.events import Applied, Event
from worker.training.loss import LEAST_WEIGHT, measure, share, weighed
from worker.training.lsuv import calibrate
from worker.training.metrics import sums_of
from worker.training.run import Run
from worker.training.snapshot import checkpoint, restore, take_up, will_restore
from worker.training.state import Resume, Weights
from worker.training.warm_start import scaled_as_before


def train(
    spec: JobSpec,
    data: Dataset,
    *,
    start_from: Weights | None = None,
    resume_from: Resume | None = None,
    device: str = "cpu",
    control: Control | None = None,
) -> Iterator[Event]:
    """Runs a resolved spec on its data; close the generator to stop it at once.

    A spec with a `warm_start` needs the weights of its checkpoint in `start_from`, unless it is resumed.
    Yields `Started`, then what happens, then `Finished`; after `control.request_stop()` a checkpoint of the current
    step comes last instead. Raises `Diverged` when the numbers are not finite any more.
    """
    control = control or Control()
    run = Run(spec, scaled_as_before(data, spec, start_from, resume_from), device, start_from)
    if resume_from is None:
        calibrate(run)
        begin(run)
    else:
        take_up(run, resume_from)
    saved = (run.position.step, run.position.epoch)
    yield run.started()
    yield from run.warm_started()
    yield from run.warnings()
    run.network.train()

    while run.position.ended is None:
        if run.at_epoch_end and not control.stop_requested:
            yield from run.flush()
            yield evaluate(run)
            if run.position.ended is not None or run.position.epoch.bit_count() == 1:
                yield Applied(applied(run))
            if run.position.ended is not None:
                break
        wanted = run.checkpoint_is_due or run.improved or control.checkpoint_requested or control.stop_requested
        if wanted and saved != (run.position.step, run.position.epoch):
            yield from run.flush()
            saved = (run.position.step, run.position.epoch)
            yield checkpoint(run)
        control.checkpoint_requested = False
        if control.stop_requested:
            return
        step(run)
        control.after_step()
        if run.flush_is_due:
            yield from run.flush()

    if will_restore(run):
        if run.improved or run.checkpoint_is_due:
            yield checkpoint(run)
        restore(run)
    verify(run)
    yield from unseen(run)
    yield checkpoint(run, "last")
    yield run.finished()


def step(run: Run) -> None:
    """One step, in one piece; nothing in it waits for the device."""
    rate = run.learning_rate
    run.freezer.hold(run.position.step)

    with run.trained():
        loss, activity, sums = differentiate(run)
    if run.ascent is not None:
        run.tally.add("sam/ascents", 1)
        with run.ascent.uphill(), run.trained(), run.tally.paused():
            differentiate(run)

    with torch.no_grad():
        penalty = activity
        for one in run.penalties:
            penalty = penalty + one.value()
            one.add_gradients()

        gradients = [parameter.grad for parameter in run.parameters if parameter.grad is not None]
        norm = gradient_norm(gradients, run.clipper.norm_type)
        skipped = 1.0 - (norm + loss).isfinite().float()
        clipped = run.clipper.clip(gradients, norm, skipped)
        run.noise.add_to(gradients, run.position.step)

        run.stepper.step(rate, skipped)
        run.keep_finite(skipped)
        run.precision.adapt(skipped)
        run.sums += torch.where(skipped.bool(), 0.0, sums)
        run.record(rate, torch.stack([loss, penalty, norm, clipped, skipped]))
        if run.average is not None:
            run.tally.add("averaging/updates", run.average.update(run.position.step))


def differentiate(run: Run) -> tuple[Tensor, Tensor, Tensor]:
    """Leaves at every parameter the gradient of the mean loss over the step's examples.

    They come in batches as large as the spec says; each counts by its share, so that many small ones are one large one.
    Gives the loss, the penalty on activations, and the sums that the epoch's metrics are made of.
    """
    spec, position, training = run.spec, run.position, run.data.training
    epoch, number = position.epoch, position.step

    first = (number - epoch * run.clock.steps_per_epoch) * spec.training.examples_per_step
    positions = run.order(epoch)[first : first + spec.training.examples_per_step]
    batches = torch.split(positions, spec.training.batch_size)
    for parameter in run.parameters:
        parameter.grad = None
    run.seed_dropout()

    loss, activity, whole = torch.zeros(3, device=run.device)
    sums = run.no_sums()
    for index, batch in enumerate(batches):
        inputs, targets = run.feed.training_batch(training, batch, epoch, number, index)
        with run.precision.autocast():
            outputs = run.network(inputs)
        outputs = outputs.float()
        mean = measure(run.loss, outputs, targets, run.class_weights)
        of_activity = run.dropout.take_activity()
        minimized = mean if of_activity is None else mean + of_activity
        part = share(run.loss, targets, run.class_weights) / len(positions) if len(batches) > 1 else 1.0
        torch.autograd.backward(run.precision.scaled(minimized if len(batches) == 1 else minimized * part))
        with torch.no_grad():
            loss, whole = loss + mean * part, whole + part
            activity = activity if of_activity is None else activity + of_activity * part
            top_k = spec.evaluation.top_k
            sums += sums_of(run.data.task, run.loss, top_k, outputs, targets, mean, run.class_weights)

    gradients = [parameter.grad for parameter in run.parameters if parameter.grad is not None]
    run.precision.unscale(gradients)
    if len(batches) > 1 and run.class_weights is not None:
        torch._foreach_div_(gradients, whole.clamp(min=LEAST_WEIGHT))
        loss, activity = weighed(loss, whole), weighed(activity, whole)
    return loss, activity, sums
