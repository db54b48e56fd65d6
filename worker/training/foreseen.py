"""What a run can be warned of before its first step."""

from collections.abc import Iterator

import torch

from worker.training.events import Warned
from worker.training.precision import is_native
from worker.training.run import EVALUATION_BATCH, Run

FAR = 10.0
"""A mean or a spread of the inputs beyond this, or a spread below its inverse squared, is worth a warning."""


def foreseen(run: Run) -> Iterator[Warned]:
    training = run.spec.training
    if training.compile and run.device == "cpu":
        detail = "On a processor a compiled network is no faster, and the run begins later: leave out `compile`"
        yield Warned("compiled_on_a_processor", detail)
    if not is_native(training.precision, run.device):
        detail = (
            f"{run.environment['device']} has no instructions for {training.precision}: what is faster elsewhere may "
            "take many times as long here. Leave out `precision`"
        )
        yield Warned("slow_precision", detail)
    if run.other_words:
        detail = "The checkpoint reads text by other words than this job: its first layer means something else here"
        yield Warned("other_vocabulary", detail)
    yield from far_inputs(run)


def far_inputs(run: Run) -> Iterator[Warned]:
    count = min(len(run.data.training), EVALUATION_BATCH)
    inputs = run.feed.evaluation_batch(run.data.training, torch.arange(count))[0]
    if not inputs.is_floating_point():
        return
    mean, spread = inputs.mean().item(), inputs.std(correction=0).item()
    if abs(mean) > FAR or spread > FAR or spread < FAR**-2:
        detail = (
            f"The network gets inputs with a mean of {mean:.3g} and a spread of {spread:.3g}; "
            'it learns best near 0 and 1: {"dataset": {"normalize": "auto"}}'
        )
        yield Warned("inputs_not_normalized", detail)
