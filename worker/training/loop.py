"""Training, from the first step to the last, as a generator of events.

Randomness is a function of (seed, epoch, step), every number of a step stays on the device until a flush, and
whatever happens between two steps (a flush, an evaluation, a checkpoint) changes nothing about the next one: a run
that was interrupted ends with the same bits as one that was not.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial, reduce
from operator import add

import torch
from torch import Tensor

from models.spec.job import JobSpec
from worker.training.applied import applied, begin, unseen, verify
from worker.training.batches import Make, Place
from worker.training.clipping import gradient_norm
from worker.training.control import Control
from worker.training.data import Dataset
from worker.training.evaluation import evaluate
from worker.training.events import Applied, Event
from worker.training.foreseen import foreseen
from worker.training.loss import LEAST_WEIGHT, measure, share, weighed
from worker.training.lsuv import calibrate
from worker.training.metrics import sums_of
from worker.training.randomness import choose_algorithms
from worker.training.replicas import Replica
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
    choose_algorithms(device, deterministic=spec.training.deterministic)
    run = Run(spec, scaled_as_before(data, spec, start_from, resume_from), device, start_from)
    try:
        yield from events(run, resume_from, control or Control())
    finally:
        run.replicas.close()


def events(run: Run, resume_from: Resume | None, control: Control) -> Iterator[Event]:
    if resume_from is None:
        calibrate(run)
        begin(run)
    else:
        take_up(run, resume_from)
    saved = (run.position.step, run.position.epoch)
    yield run.started()
    yield from run.warm_started()
    yield from foreseen(run)
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
        with run.layerwise.measured(run.position.step + 1 == run.epoch_end):
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

    following = run.examples_of_step(1)
    run.batches.read_ahead(following)
    next_place = Place(run.position.epoch, run.position.step + 1)
    prepare = partial(run.batches.prepare, following[: run.spec.training.batch_size], next_place)
    with run.trained():
        loss, activity, sums = differentiate(run, prepare if run.ascent is None else None)
    if run.ascent is not None:
        run.tally.add("sam/ascents", 1)
        with run.ascent.uphill(), run.trained(), run.tally.paused():
            differentiate(run, prepare)

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


def differentiate(run: Run, meanwhile: Callable[[], None] | None) -> tuple[Tensor, Tensor, Tensor]:
    """Leaves at every parameter the gradient of the mean loss over the step's examples.

    They come in batches as large as the spec says, and these in a part for each replica; each counts by its share, so
    that many small ones are one large one. `meanwhile` is called when the last of them has begun. Gives the loss, the
    penalty on activations, and the sums that the epoch's metrics are made of.
    """
    replicas, place = run.replicas, Place(run.position.epoch, run.position.step)
    positions = run.examples_of_step()
    learn = partial(learned, run, len(positions))

    replicas.begin(run.spec.seed, place.step)
    batches = torch.split(positions, run.spec.training.batch_size)
    of_parts = []
    for number, batch in enumerate(batches):
        parts = run.batches.parts(batch, place._replace(number=number))
        of_parts += replicas.each(learn, parts, meanwhile if number == len(batches) - 1 else None)
    replicas.gather(run.tally)
    loss, activity, whole, sums = map(sum_of, zip(*of_parts, strict=True))

    run.precision.unscale(replicas.first.gradients)
    if run.class_weights is not None and len(of_parts) > 1:
        torch._foreach_div_(replicas.first.gradients, whole.clamp(min=LEAST_WEIGHT))
        loss, activity = weighed(loss, whole), weighed(activity, whole)
    return loss, activity, sums


def learned(run: Run, examples: int, replica: Replica, make: Make) -> tuple[Tensor, Tensor, Tensor | float, Tensor]:
    """A replica's part of the gradient of the mean over so many `examples`; what it adds to the loss, to the penalty on
    activations, to the weight of all, and to the epoch's sums.
    """
    inputs, targets, counts = make()
    replica.feed.tally.include(counts)
    if len(targets) < examples:
        part = share(run.loss, targets, run.class_weights) / examples
        mean, activity, sums = pass_through(run, part, replica, inputs, targets)
        return mean * part, activity * part, part, sums
    work = partial(pass_through, run, None)
    mean, activity, sums = (work if run.recorder is None else partial(run.recorder.run, work))(replica, inputs, targets)
    return mean, activity, 1.0, sums


def pass_through(
    run: Run, part: Tensor | float | None, replica: Replica, inputs: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Forward and backward over a batch that counts `part` of a step, or is all of it. The mean loss, the penalty on
    activations, and what the batch adds to the epoch's sums.
    """
    with run.precision.autocast():
        outputs = replica.forward(inputs)
    outputs = outputs.float()
    mean = measure(run.loss, outputs, targets, run.class_weights)
    activity = replica.dropout.take_activity()
    minimized = mean if activity is None else mean + activity
    torch.autograd.backward(run.precision.scaled(minimized if part is None else minimized * part))
    with torch.no_grad():
        top_k = run.spec.evaluation.top_k
        sums = sums_of(run.data.task, run.loss, top_k, outputs, targets, mean, run.class_weights)
    return mean.detach(), torch.zeros_like(mean) if activity is None else activity.detach(), sums


def sum_of(numbers: Sequence[Tensor]) -> Tensor:
    """In their order."""
    return reduce(add, numbers)
