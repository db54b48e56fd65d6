"""The state of a run: what a step changes, what a checkpoint holds, what a resume takes up again."""

import json
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, replace
from functools import cached_property
from math import isfinite

import numpy
import safetensors
import torch
from torch import Tensor

from models.spec.estimate import steps_per_epoch, total_steps
from models.spec.job import JobSpec
from worker.training.averaging import Average, rate_of_averaging
from worker.training.batches import Batches
from worker.training.clipping import Clipper
from worker.training.copying import Copier
from worker.training.data import Dataset
from worker.training.events import (
    Diverged,
    Finished,
    Progress,
    Started,
    StepsDone,
    WarmStarted,
)
from worker.training.inputs import Feed
from worker.training.layerwise import Layerwise
from worker.training.listed import lay_out, listed
from worker.training.loss import class_weights
from worker.training.metrics import empty_sums
from worker.training.network import build_network, on_the_same_weights
from worker.training.noise import Noise
from worker.training.optimizer import Stepper
from worker.training.position import Position
from worker.training.precision import Precision
from worker.training.randomness import permutation
from worker.training.recording import recorder_of
from worker.training.regularization import penalties_of
from worker.training.replicas import Replica, Replicas
from worker.training.schedule import Clock, learning_rate
from worker.training.sharpness import ascent_of
from worker.training.spectral import SpectralNorms
from worker.training.state import Weights
from worker.training.tally import Tally
from worker.training.warm_start import Freezer, reads_otherwise, warm_start

FLUSH_STEPS = 50
FLUSH_SECONDS = 1.0
"""Numbers of steps wait on the device until there are so many, or the oldest has waited so long."""

EVALUATION_BATCH = 64
"""Examples at once in an evaluation, or a training batch if that is larger."""

RESIDENT_SHARE = 0.25
"""Of a device's memory: up to this the data set lives there."""

MEASURED = ("train/loss", "train/penalty", "gradient_norm", "clipped", "skipped")
"""What a step leaves on the device, in this order."""

CLIPPED = MEASURED.index("clipped")
SKIPPED = MEASURED.index("skipped")


class Run:
    """Everything the loop works on."""

    def __init__(self, spec: JobSpec, data: Dataset, device: str, start_from: Weights | None = None) -> None:
        assert spec.loss is not None
        self.spec, self.loss, self.device = spec, spec.loss, device
        self.environment = environment_of(device)
        self.data = resident(listed(data, spec, device), device)
        per_epoch = steps_per_epoch(len(data.training), spec.training.examples_per_step)
        self.clock = Clock(per_epoch, total_steps(spec.training, per_epoch))
        self.held_rows = None if data.validation is None else data.validation.rows
        """Where in their split the validation examples are; None where they are all of one."""
        self.tally = Tally(device)
        self.feed = Feed(spec, data, self.clock, device, self.tally)
        self.network = build_network(spec, data.task, device)
        lay_out(self.network, self.data)
        self.position = Position(normalization=asdict(data.normalization) if spec.warm_start else {})
        self.other_words = start_from is not None and reads_otherwise(data, start_from)
        if start_from is not None:
            self.position.warm_start = warm_start(spec, data.task, self.network, start_from, self.clock).as_json()
        self.spectral = SpectralNorms(spec, self.network)
        self.noise = Noise(spec, self.network, self.tally)
        self.layerwise = Layerwise(self.network)
        self.parameters = list(self.network.parameters())
        self.buffers = list(self.network.buffers())
        self.clipper = Clipper(spec, self.network)
        self.stepper = Stepper(spec, self.network)
        self.freezer = Freezer(spec, data.task, self.network, self.clock)
        self.precision = Precision(spec.training, device)
        self.penalties = penalties_of(spec, self.network)
        self.ascent = ascent_of(spec, self.network, self.spectral.tensors().values())
        averaging = spec.training.averaging
        self.average = None if averaging is None else Average(averaging, self.network, self.clock)
        weights = class_weights(spec.loss, data.training, data.task.outputs)
        self.class_weights = None if weights is None else weights.to(device)
        self.sums = self.no_sums()
        self.totals = torch.zeros(len(MEASURED), dtype=torch.float64)
        self.copier = Copier()
        self.restorable: dict[str, Tensor] = {}
        self.guarded: list[Tensor] = []
        self.guard()
        self.replicas = self.replicated()
        self.batches = Batches(self.replicas, self.data)
        self.recorder = recorder_of(spec.training, device)
        self.ordered: tuple[int, Tensor] | None = None
        self.improved = False
        self.begun = self.flushed_at = self.epoch_begun = time.monotonic()
        self.steps_at_epoch_begin = 0
        self.rows: list[Tensor] = []
        self.rates: list[float] = []
        self.speed = 0.0

    def no_sums(self) -> Tensor:
        """Of an epoch that begins."""
        return empty_sums(self.data.task, self.spec.evaluation.top_k, self.device)

    # The position

    @property
    def epochs(self) -> int:
        return -(-self.clock.steps // self.clock.steps_per_epoch)

    @property
    def seconds(self) -> float:
        return self.position.seconds + time.monotonic() - self.begun

    @property
    def out_of_time(self) -> bool:
        limit = self.spec.training.time_limit
        return limit is not None and self.seconds >= limit

    @property
    def epoch_end(self) -> int:
        """The step after which the present epoch, or the run, is over."""
        return min((self.position.epoch + 1) * self.clock.steps_per_epoch, self.clock.steps)

    @property
    def at_epoch_end(self) -> bool:
        """Whether an evaluation comes next: the epoch, the run or its time is over."""
        return self.position.step >= self.epoch_end or (self.out_of_time and self.position.step > 0)

    @property
    def checkpoint_is_due(self) -> bool:
        every = self.spec.checkpoints.every.in_steps(self.clock.steps_per_epoch, self.clock.steps)
        return self.position.step > 0 and self.position.step % every == 0

    @property
    def learning_rate(self) -> float:
        return learning_rate_of(self.spec, self.position.step, self.clock, self.position.plateau.scale)

    @property
    def may_skip(self) -> bool:
        """Whether a step that is not finite may be skipped: it was asked for, or is how float16 finds its scale."""
        clipping = self.spec.clipping
        return self.precision.scales or (clipping is not None and clipping.nonfinite == "skip_step")

    def order(self, epoch: int) -> Tensor:
        """The epoch's order of the training examples, (examples,) int64."""
        if self.ordered is None or self.ordered[0] != epoch:
            order = permutation(self.spec.seed, epoch, len(self.data.training))
            self.ordered = (epoch, order.to(self.data.training.inputs.device))
        return self.ordered[1]

    def examples_of_step(self, ahead: int = 0) -> Tensor:
        """The positions of the examples of the present step, or of one so many steps ahead; none behind the epoch."""
        count = self.spec.training.examples_per_step
        first = (self.position.step + ahead - self.position.epoch * self.clock.steps_per_epoch) * count
        return self.order(self.position.epoch)[first : first + count]

    def replicated(self) -> Replicas:
        """This network and, where the spec asks for replicas, others on its weights."""
        training = self.spec.training
        others = [
            Replica(
                on_the_same_weights(self.spec, self.data.task, self.network, self.device),
                Feed(self.spec, self.data, self.clock, self.device),
                compiles=training.compile,
            )
            for _ in range(training.replicas - 1)
        ]
        return Replicas([Replica(self.network, self.feed, compiles=training.compile), *others], self.device)

    # What a step leaves

    def guard(self) -> None:
        """Begins to remember what a skipped step must not change, from the present values on."""
        self.guarded = [buffer.clone() for buffer in self.buffers] if self.may_skip else []

    def keep_finite(self, skipped: Tensor) -> None:
        """Running averages of norms forget a batch that is skipped: it may have left NaN in them."""
        if not self.guarded:
            return
        for buffer, before in zip(self.buffers, self.guarded, strict=True):
            buffer.copy_(torch.where(skipped.bool(), before, buffer))
        torch._foreach_copy_(self.guarded, self.buffers)

    def record(self, rate: float, measured: Tensor) -> None:
        """Counts a step; `measured` (len(MEASURED),) stays on the device until the next flush."""
        self.rates.append(rate)
        self.rows.append(measured)
        rates = self.position.rates
        lowest, peak = rates.get("lowest", rate), rates.get("peak", rate)
        rates |= {"first": rates.get("first", rate), "lowest": min(lowest, rate), "peak": max(peak, rate), "last": rate}
        self.position.step += 1
        self.improved = False

    @property
    def flush_is_due(self) -> bool:
        return len(self.rows) >= FLUSH_STEPS or time.monotonic() - self.flushed_at >= FLUSH_SECONDS

    def flush(self) -> Iterator[StepsDone]:
        """Tells of the steps since the last flush, then raises `Diverged` if one of them was the end."""
        if not self.rows:
            return
        rows = torch.stack(self.rows).tolist()
        self.total(rows)
        values = [list(column) for column in zip(*rows, strict=True)]
        step = self.position.step
        columns: dict[str, list[float]] = {
            "step": list(range(step - len(self.rows) + 1, step + 1)),
            **dict(zip(MEASURED, values, strict=True)),
            "learning_rate": self.rates,
        }
        now = time.monotonic()
        self.speed = len(self.rows) * self.spec.training.examples_per_step / max(now - self.flushed_at, 1e-9)
        self.rows, self.rates, self.flushed_at = [], [], now
        yield StepsDone(columns, self.progress())
        self.judge(columns)

    def total(self, rows: Sequence[Sequence[float]]) -> None:
        """Adds steps to the epoch's totals, one by one, for it depends on the time how many are flushed together."""
        only_skipped = [float(place == SKIPPED) for place in range(len(MEASURED))]
        counted = [only_skipped if row[SKIPPED] else row for row in rows]
        totals = self.totals.tolist()
        for row in counted:
            totals = [total + value for total, value in zip(totals, row, strict=True)]
        self.totals.copy_(torch.tensor(totals, dtype=torch.float64))
        for name, place in (("steps/clipped", CLIPPED), ("steps/skipped", SKIPPED)):
            self.tally.count(name, torch.tensor(sum(row[place] for row in counted), device=self.device))

    def judge(self, columns: Mapping[str, list[float]]) -> None:
        """Every skipped step is seen here once, so the verdict does not depend on how often steps are flushed."""
        allowed = self.spec.training.max_grad_failures + self.precision.halvings if self.may_skip else 0
        for step, skipped, loss, rate in zip(
            columns["step"], columns["skipped"], columns["train/loss"], columns["learning_rate"], strict=True
        ):
            self.position.failures = self.position.failures + 1 if skipped else 0
            if self.position.failures > allowed:
                what = "The loss is not finite" if not isfinite(loss) else "The gradient is not finite"
                raise Diverged(int(step), what, rate)

    def progress(self) -> Progress:
        remaining = (self.clock.steps - self.position.step) * self.spec.training.examples_per_step
        eta = remaining / self.speed if self.speed else 0.0
        epoch, step = self.position.epoch, self.position.step
        return Progress(epoch, self.epochs, step, self.clock.steps, self.speed, eta)

    @contextmanager
    def trained(self) -> Iterator[None]:
        """The network has the weights in here at which a gradient is taken: normalized and noisy."""
        with self.spectral.trained(), self.noise.on_weights(self.position.step):
            yield

    def averaged(self) -> AbstractContextManager[None]:
        """The network has its averaged weights in here, if there are any."""
        return nullcontext() if self.average is None else self.average.shown(self.position.step)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """The network has the weights in here that are evaluated and saved: the averaged ones, normalized."""
        with self.averaged(), self.spectral.divided():
            yield

    def source(self) -> dict[str, Tensor]:
        """Copies on the CPU of all that `weights` is made of."""
        with self.averaged():
            return Copier().copies({**self.network.state_dict(), **self.spectral.tensors()})

    def load_source(self, source: Mapping[str, Tensor]) -> None:
        self.network.load_state_dict(self.spectral.without(source))
        self.spectral.load(source)

    # Beginning and end

    def started(self) -> Started:
        return Started(
            start_step=self.position.step,
            steps=self.clock.steps,
            steps_per_epoch=self.clock.steps_per_epoch,
            epochs=self.epochs,
            parameters=sum(parameter.numel() for parameter in self.parameters),
            training_examples=len(self.data.training),
            validation_examples=0 if self.data.validation is None else len(self.data.validation),
            normalization=asdict(self.data.normalization),
            vocabularies={name: len(words) for name, words in self.data.vocabularies.items()},
            environment=self.environment,
            progress=self.progress(),
        )

    def warm_started(self) -> Iterator[WarmStarted]:
        """Told once, by the attempt that begins."""
        if self.position.warm_start and self.position.step == 0:
            yield WarmStarted(**self.position.warm_start)

    @cached_property
    def card(self) -> dict[str, str]:
        """A model card, equal in equal runs: what there is to know of the weights, whichever step they are from.

        `spec` is the resolved one, `data_sha256` the hash of the packed data's manifest; all but plain
        words is JSON.
        """
        data = self.data
        said = {
            "spec": self.spec.model_dump(mode="json"),
            "task": asdict(data.task),
            "vocabularies": data.vocabularies,
            "normalization": asdict(data.normalization),
            "environment": self.environment,
        }
        return {
            "format": "pt",
            "classes": json.dumps(data.task.classes),
            "input_shape": json.dumps(data.task.input_shape),
            "data_sha256": data.sha256,
            **{name: json.dumps(value, sort_keys=True) for name, value in said.items()},
        }

    def finished(self) -> Finished:
        position = self.position
        assert position.ended is not None
        measured = position.best, position.last, position.report
        return Finished(position.step, position.epoch, position.ended, *measured, position.warm_start or None)


def learning_rate_of(spec: JobSpec, step: int, clock: Clock, plateau_scale: float = 1.0) -> float:
    """The rate of a step, counted from 0: the schedule's, or that of the averaging that has begun."""
    constant = rate_of_averaging(spec.training.averaging, step, clock)
    if constant is not None:
        return constant
    return learning_rate(spec.schedule, spec.optimizer.learning_rate, step, clock, plateau_scale)


def environment_of(device: str) -> dict[str, str | int]:
    """What the numbers of a run depend on beside its spec and data."""
    return {
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "safetensors": safetensors.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "threads": torch.get_num_threads(),
    }


def resident(data: Dataset, device: str) -> Dataset:
    """The data on the device if it is an accelerator with room for it; what is held back of the training examples is
    there with them, not once more.
    """
    training, validation = data.training, data.validation
    stored = {id(part.inputs): part.inputs.nbytes for part in (training, validation) if part is not None}
    if device == "cpu" or sum(stored.values()) > RESIDENT_SHARE * torch.cuda.get_device_properties(device).total_memory:
        return data
    moved = training.to(device)
    if validation is not None and validation.inputs is training.inputs:
        validation = replace(moved, rows=None if validation.rows is None else validation.rows.to(device))
    elif validation is not None:
        validation = validation.to(device)
    return replace(data, training=moved, validation=validation)
