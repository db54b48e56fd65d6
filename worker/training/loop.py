"""Training, from the first step to the last, as a generator of events.

Randomness is a function of (seed, epoch, step), every number of a step stays on the device until a flush, and
whatever happens between two steps (a flush, an evaluation, a checkpoint) changes nothing about the next one: a run
that was interrupted ends with the same bits as one that was not.
"""

from collections.abc import Iterator

import torch

from models.spec.job import JobSpec
from worker.training.clipping import clip_by_global_norm, gradient_norm
from worker.training.control import Control
from worker.training.data import Dataset
from worker.training.events import Event
from worker.training.loss import measure
from worker.training.metrics import sums_of
from worker.training.run import Run
from worker.training.state import Resume


def train(
    spec: JobSpec,
    data: Dataset,
    *,
    resume_from: Resume | None = None,
    device: str = "cpu",
    control: Control | None = None,
) -> Iterator[Event]:
    """Runs a resolved spec on its data; close the generator to stop it at once.

    Yields `Started`, then what happens, then `Finished`; after `control.request_stop()` a checkpoint of the current
    step comes last instead. Raises `Diverged` when the numbers are not finite any more.
    """
    control = control or Control()
    run = Run(spec, data, device, resume_from)
    saved = (run.position.step, run.position.epoch)
    yield run.started()
    yield from run.warnings()
    run.network.train()

    while run.position.ended is None:
        if run.at_epoch_end and not control.stop_requested:
            yield from run.flush()
            yield run.evaluate()
            if run.position.ended is not None:
                break
        wanted = run.checkpoint_is_due() or run.improved or control.checkpoint_requested or control.stop_requested
        if wanted and saved != (run.position.step, run.position.epoch):
            yield from run.flush()
            saved = (run.position.step, run.position.epoch)
            yield run.checkpoint()
        control.checkpoint_requested = False
        if control.stop_requested:
            return
        step(run)
        if run.flush_is_due:
            yield from run.flush()

    if run.will_restore:
        if run.improved or run.checkpoint_is_due():
            yield run.checkpoint()
        run.restore()
    yield run.checkpoint("last")
    yield run.finished()


def step(run: Run) -> None:
    """One step, in one piece; nothing in it waits for the device."""
    spec, position, training = run.spec, run.position, run.data.training
    epoch, number, rate = position.epoch, position.step, run.learning_rate

    first = (number - epoch * run.clock.steps_per_epoch) * spec.training.batch_size
    positions = run.order(epoch)[first : first + spec.training.batch_size]
    inputs, targets = run.feed.training_batch(training, positions, epoch, number)
    run.seed_dropout()

    outputs = run.network(inputs)
    loss = measure(run.loss, outputs, targets, run.class_weights)
    activity = run.activity_penalty()
    run.stepper.optimizer.zero_grad()
    torch.autograd.backward(loss + activity)

    with torch.no_grad():
        penalty = activity.detach()
        for one in run.penalties:
            penalty = penalty + one.value()
            one.add_gradients()

        gradients = [parameter.grad for parameter in run.parameters if parameter.grad is not None]
        norm = gradient_norm(gradients, run.norm_type)
        clipped = torch.zeros((), device=run.device)
        if spec.clipping is not None:
            clipped = clip_by_global_norm(gradients, norm, spec.clipping.max_norm).float()
        skipped = 1.0 - (norm + loss).isfinite().float()

        run.stepper.step(rate, skipped)
        run.keep_finite(skipped)
        sums = sums_of(run.data.task, run.loss, outputs, targets, loss, run.class_weights)
        run.sums += torch.where(skipped.bool(), 0.0, sums)
        run.record(rate, torch.stack([loss, penalty, norm, clipped, skipped]))
