"""Whether how a run is computed, and for how long, fits its network and its data."""

from collections.abc import Iterator

from .averaging import Lookahead, Swa
from .errors import SpecError, SpecWarning
from .job import JobSpec
from .regularization import Activity
from .sequences import Lstm, RecurrentNetwork
from .training import MAX_STEPS

COMPILING_STEPS = 10_000
"""Fewer hardly make up for the time that compiling takes."""


def training_errors(spec: JobSpec) -> Iterator[SpecError]:
    """Conflicts of the precision, of compiling and of replicas with the rest of the spec."""
    training, network = spec.training, spec.network
    if training.precision == "float16" and isinstance(network, Lstm):
        detail = "PyTorch has no LSTM in float16 for processors: take bfloat16 (or a gru)"
        yield SpecError("/training/precision", "network_does_not_fit", detail, ["float32", "bfloat16"], "bfloat16")
    if training.compile:
        yield from _compiling(spec)
    if training.replicas > training.batch_size:
        detail = f"A batch of {training.batch_size} has no part for every replica"
        yield SpecError("/training/replicas", "too_many", detail, suggestion=str(training.batch_size))


def _compiling(spec: JobSpec) -> Iterator[SpecError]:
    if isinstance(spec.network, RecurrentNetwork):
        detail = f"The steps of a {spec.network.type} are one operation already: there is nothing to compile"
        yield SpecError("/training/compile", "network_does_not_fit", detail, [False], "false")
    for index, technique in enumerate(spec.regularization):
        if isinstance(technique, Activity):
            detail = "`activity` adds up what comes from each layer, which a compiled network does not keep"
            yield SpecError(f"/regularization/{index}", "not_compiled", detail)


def length_errors(spec: JobSpec, per_epoch: int, steps: int) -> Iterator[SpecError]:
    """Runs that are too long, and averages that a run of so many steps would never take."""
    if steps > MAX_STEPS:
        detail = f"{steps:,} steps in all ({per_epoch:,} an epoch), and a run has at most {MAX_STEPS:,}"
        yield SpecError("/training/epochs", "too_long", detail)
    averaging = spec.training.averaging
    if isinstance(averaging, Swa) and averaging.start.in_steps(per_epoch, steps) >= steps:
        detail = "It begins at the run's end or later: there is nothing to average"
        yield SpecError("/training/averaging/start", "never_acts", detail)
    if isinstance(averaging, Lookahead) and averaging.k > steps:
        detail = f"The run has {steps:,} steps: the slow weights, which are saved, would stay where they start"
        yield SpecError("/training/averaging/k", "never_acts", detail, suggestion=str(min(5, steps)))


def training_warnings(spec: JobSpec, steps: int) -> Iterator[SpecWarning]:
    if spec.training.compile and steps < COMPILING_STEPS:
        detail = f"To compile takes half a minute and longer, which a run of {steps:,} steps hardly makes up for"
        yield SpecWarning("/training/compile", "compiled_for_few_steps", detail)
