"""What is named and does nothing in this run, or nearly nothing: legal, and usually not meant."""

from collections.abc import Iterator

from .augmentation import Augmentation
from .averaging import Ema, Lookahead, Swa
from .errors import SpecWarning
from .geometric import Affine, ImageDataGenerator, Rotation, Shear, Shift, Zoom
from .job import JobSpec
from .regularization import L1
from .schedule import Plateau, Step

STRENGTHS = ("weight", "l1", "l2", "rate", "epsilon")
"""How a regularization's strength is called: at 0 it is not there."""

REMEMBERED = 0.05
"""A share of the starting weights in an average from which on it is worth a warning."""


def idle_warnings(spec: JobSpec, per_epoch: int, steps: int) -> Iterator[SpecWarning]:
    yield from _without_strength(spec)
    yield from _unchanged_images(spec)
    yield from _drops_behind_the_end(spec, per_epoch, steps)
    yield from _averages(spec, per_epoch, steps)
    yield from _patience_behind_the_end(spec, per_epoch, steps)


def _without_strength(spec: JobSpec) -> Iterator[SpecWarning]:
    for index, technique in enumerate(spec.regularization):
        strengths = [name for name in STRENGTHS if hasattr(technique, name)]
        if strengths and not any(getattr(technique, name) for name in strengths):
            detail = f"With {' and '.join(f'`{name}`' for name in strengths)} at 0 it does nothing"
            yield SpecWarning(f"/regularization/{index}", "does_nothing", detail)


def _unchanged_images(spec: JobSpec) -> Iterator[SpecWarning]:
    for index, technique in enumerate(spec.augmentation):
        if technique.p == 0.0 or _is_still(technique):
            what = "a probability of 0" if technique.p == 0.0 else "none of its ranges said"
            detail = f"With {what} it changes no example"
            yield SpecWarning(f"/augmentation/{index}", "does_nothing", detail)


def _is_still(technique: Augmentation) -> bool:
    match technique:
        case Affine() | Rotation() | Shift() | Shear() | Zoom():
            changes = [getattr(technique, name, None) for name in ("rotation", "shift", "shear", "zoom")]
        case ImageDataGenerator():
            changes = [value for name, value in technique if name.endswith(("_range", "_flip"))]
        case _:
            return False
    return all(change in (None, 0.0, (0.0, 0.0), (1.0, 1.0)) for change in changes)


def _drops_behind_the_end(spec: JobSpec, per_epoch: int, steps: int) -> Iterator[SpecWarning]:
    schedule = spec.schedule
    match schedule:
        case Step():
            warm = 0 if schedule.warmup is None else schedule.warmup.duration.in_steps(per_epoch, steps)
            first = schedule.step_size.in_steps(per_epoch, steps) - schedule.offset.in_steps(per_epoch, steps) + warm
            if first >= steps:
                detail = f"The first drop lies at step {first:,}, and the run has {steps:,}: the rate stays as it is"
                yield SpecWarning("/schedule/step_size", "never_reached", detail)
        case Plateau() if (schedule.patience + 2) * per_epoch >= steps:  # the first evaluation is the best so far
            detail = f"A drop needs {schedule.patience + 2} evaluations and steps behind them: the run ends before"
            yield SpecWarning("/schedule/patience", "never_reached", detail)
        case _:
            pass


def _averages(spec: JobSpec, per_epoch: int, steps: int) -> Iterator[SpecWarning]:
    averaging = spec.training.averaging
    if isinstance(averaging, Ema) and not averaging.warmup:
        kept = averaging.decay_in(per_epoch, steps) ** steps
        if kept > REMEMBERED:
            detail = f"After {steps:,} steps the average is still {kept:.0%} the weights that the run starts with"
            yield SpecWarning("/training/averaging/warmup", "remembers_the_start", detail)
    for index, technique in enumerate(spec.regularization):
        if isinstance(averaging, Ema | Swa | Lookahead) and isinstance(technique, L1) and technique.mode == "proximal":
            detail = (
                "Weights that are exactly 0 at times are rarely so in an average, and the average is what is saved: "
                "the proximal step's zeros are lost under `averaging`"
            )
            yield SpecWarning(f"/regularization/{index}/mode", "zeros_averaged_away", detail)


def _patience_behind_the_end(spec: JobSpec, per_epoch: int, steps: int) -> Iterator[SpecWarning]:
    rule = spec.training.early_stopping
    if rule is not None and (rule.patience + 1) * per_epoch >= steps:  # the first evaluation is the best so far
        detail = f"It takes {rule.patience + 1} evaluations to stop, and the run ends before or with the last of them"
        yield SpecWarning("/training/early_stopping/patience", "never_reached", detail)
