"""What of a run is kept and taken up again: a run that continues from it ends with the same bits."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from math import isfinite

from torch import Tensor

from worker.training.events import CheckpointReady, Kind, Metrics
from worker.training.position import position_of
from worker.training.run import Run
from worker.training.state import Resume, State


def checkpoint(run: Run, kind: Kind | None = None) -> CheckpointReady:
    """A copy of the run as it stands at a step's end; nothing waits to be flushed."""
    assert not run.rows
    position = replace(run.position, seconds=run.seconds)
    with run.shown():
        weights = run.copier.copies(run.network.state_dict())
    tensors = run.copier.copies(
        {
            **run.stepper.tensors(),
            **run.clipper.tensors(),
            **run.precision.tensors(),
            **run.spectral.tensors(),
            **run.tally.tensors(),
            "sums": run.sums,
            "totals": run.totals,
        }
    )
    if run.average is not None:
        tensors |= run.copier.copies(run.average.tensors())
    if run.average is not None or run.spectral.kernels:
        tensors |= run.copier.copies(under("raw/", run.network.state_dict()))
    own = {**under("weights/", weights), **tensors}
    if run.average is not None and run.spectral.kernels:
        tensors |= under("averaged/", run.source())
    tensors |= under("restorable/", run.restorable)
    return CheckpointReady(
        kind or kind_of(run),
        position.step,
        position.epoch,
        weights,
        weights_metadata(run),
        State(tensors, asdict(position)),
        position.last,
        run.improved,
        partial(run.copier.take_back, own),
    )


def kind_of(run: Run) -> Kind:
    evaluated = run.position.step == run.position.epoch * run.clock.steps_per_epoch
    if not evaluated:
        return "step"
    return "best" if run.improved and not run.checkpoint_is_due else "epoch"


def weights_metadata(run: Run) -> dict[str, str]:
    """What somebody needs who has only the weights: the run's card, and when they are from."""
    return {
        **run.card,
        "step": str(run.position.step),
        "epoch": str(run.position.epoch),
        "metrics": json.dumps(strict(run.position.last), sort_keys=True),
    }


def strict(metrics: Metrics) -> dict[str, float | None]:
    """Numbers that JSON has: null for what is not finite."""
    return {name: value if isfinite(value) else None for name, value in metrics.items()}


def take_up(run: Run, resume: Resume) -> None:
    """Puts a run that has just begun where an earlier one was."""
    tensors = resume.state.tensors
    run.load_source(below(tensors, "averaged/") or resume.weights)
    if run.average is not None:
        run.average.take()
        run.average.load(tensors)
    if raw := below(tensors, "raw/"):
        run.network.load_state_dict(raw)
    run.spectral.load(tensors)
    run.stepper.load(tensors)
    run.clipper.load(tensors)
    run.precision.load(tensors)
    run.tally.load(tensors)
    run.sums.copy_(tensors["sums"])
    run.totals.copy_(tensors["totals"])
    run.restorable = below(tensors, "restorable/")
    run.position = position_of(resume.state.progress)
    run.steps_at_epoch_begin = run.position.step
    run.freezer.hold(run.position.step - 1)
    run.guard()


def will_restore(run: Run) -> bool:
    """Whether early stopping wants other weights than the present ones to be the final ones."""
    return bool(run.restorable) and run.position.restorable["epoch"] != run.position.last["epoch"]


def restore(run: Run) -> None:
    """Makes the best weights, by early stopping's metric, the final ones."""
    run.load_source(run.restorable)
    if run.average is not None:
        run.average.take()
    run.position.last = run.position.restorable
    run.improved = False


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in tensors.items()}


def below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
