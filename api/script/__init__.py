"""A script that trains what a job trained, in plain PyTorch and without the service.

It is written for what it can do to the letter: chains of layers, the usual starts, optimizers, schedules, losses and
penalties. What it could not do exactly it refuses, and names.
"""

from api.script.data import data_code
from api.script.network import Entry, entries_of
from api.script.rate import rate_code
from api.script.refusals import CannotWrite, Refusals
from api.script.start import start_code
from api.script.step import loss_code, optimizer_code, penalty_code, step_code
from models.spec.estimate import steps_per_epoch, total_steps
from models.spec.job import JobSpec
from models.spec.manifest import Manifest
from models.spec.plan import Shape
from models.spec.task import Task, task_of

__all__ = ["CannotWrite", "write_script"]

SPREAD_EXAMPLES = 256
EVALUATION_BATCH = 64


def write_script(title: str, spec: JobSpec, manifest: Manifest, *, threads: int = 1, device: str = "cpu") -> str:
    """The text of `train.py` for a resolved spec on its data.

    Args:
        title: what its first line calls the run.
        threads: with which the job computed; part of what its last bits depend on.

    Raises:
        CannotWrite: with everything that stands in the way.
    """
    refusals = Refusals()
    task = task_of(spec, manifest)
    _look_through(spec, refusals)
    entries = entries_of(spec, task, refusals)
    per_epoch = steps_per_epoch(task.train, spec.training.batch_size)
    steps = total_steps(spec.training, per_epoch)
    assert spec.initialization is not None
    parts = [
        _head(title, spec, task.input_shape, threads, device),
        data_code(spec, manifest, task, refusals),
        _network(entries),
        start_code(spec.initialization, refusals),
        rate_code(spec, steps, per_epoch, refusals),
        loss_code(spec, task, refusals),
        penalty_code(spec, entries, refusals),
        optimizer_code(spec, refusals),
        step_code(spec, refusals),
        _loop(spec, task, per_epoch, steps, has_dropout=any(entry.module.startswith("Dropout(") for entry in entries)),
    ]
    if refusals.found:
        raise CannotWrite(refusals)
    return "\n".join(part.rstrip("\n") for part in parts) + "\n"


def _look_through(spec: JobSpec, refusals: Refusals) -> None:
    """What no part of a script knows of."""
    training = spec.training
    refusals.unless(not spec.augmentation, "/augmentation", "augmentation is not written")
    refusals.unless(spec.warm_start is None, "/warm_start", "a start from another job is not written")
    refusals.unless(training.replicas == 1, "/training/replicas", "replicas of the network are not written")
    refusals.unless(training.accumulate == 1, "/training/accumulate", "steps of many batches are not written")
    refusals.unless(training.precision == "float32", "/training/precision", "only float32 is written")
    refusals.unless(not training.compile, "/training/compile", "compiled networks are not written")
    refusals.unless(training.averaging is None, "/training/averaging", "averaged weights are not written")
    refusals.unless(training.early_stopping is None, "/training/early_stopping", "early stopping is not written")
    refusals.unless(training.time_limit is None, "/training/time_limit", "a limit of time is not written")
    skips = spec.clipping is not None and spec.clipping.nonfinite == "skip_step"
    refusals.unless(not skips, "/clipping/nonfinite", "skipped steps are not written")


def _head(title: str, spec: JobSpec, input_shape: Shape, threads: int, device: str) -> str:
    pixels = input_shape[1] * input_shape[2] if len(input_shape) == 3 else 1
    return f'''"""{title}, again: the same data, first weights, order of examples and steps, in plain PyTorch.

    pip install -r requirements.txt
    python train.py

reads `data/` (the packed data, beside this file), prints the metrics of each epoch and writes `last.safetensors`.
On the same versions, kind of processor and number of threads its numbers are those of the job; elsewhere they are as
near as floating point allows.
"""

import hashlib
import json
import math
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

HERE = Path(__file__).parent
DATA = HERE / "data"
SEED = {spec.seed}
DEVICE = "{device}"
BATCH = {spec.training.batch_size}
ROWS_AT_ONCE = {SPREAD_EXAMPLES * pixels}  # of a sum: its last bits depend on where it is cut
torch.set_num_threads({threads})

for name, sha256 in json.loads((HERE / "data.json").read_text())["files"].items():
    found = hashlib.sha256((DATA / name).read_bytes()).hexdigest()
    assert found == sha256, f"{{name}} is not what the job learned from"


def generator(purpose, *position, device="cpu"):
    """A stream of random numbers of its own for every purpose and position."""
    key = "/".join([str(SEED), purpose, *map(str, position)])
    seed = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little") >> 1
    return torch.Generator(device).manual_seed(seed)


# Data
'''


CLASSES = {
    "Flatten(": '''
class Flatten(nn.Module):
    """(examples, channels, height, width) → (examples, height · width · channels)."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1) if x.dim() == 4 else x.flatten(1)
''',
    "GlobalAverage(": '''
class GlobalAverage(nn.Module):
    """(examples, channels, height, width) → (examples, channels)."""

    def forward(self, x):
        return x.mean((2, 3))
''',
    "BatchNorm(": '''
class BatchNorm(nn.Module):
    """PyTorch's, but a batch with one value per channel, which has no spread, is normalized as in evaluation."""

    def __init__(self, channels, epsilon, momentum):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.epsilon, self.momentum = epsilon, momentum

    def forward(self, x):
        of_batch = self.training and x.numel() > x.shape[1]
        means, variances = self.running_mean, self.running_var
        return F.batch_norm(x, means, variances, self.weight, self.bias, of_batch, self.momentum, self.epsilon)
''',
    "Dropout(": '''
class Dropout(nn.Module):
    """Inverted dropout; the masks are a function of seed and step."""

    stream = torch.Generator(DEVICE)

    def __init__(self, rate):
        super().__init__()
        self.keep = 1.0 - rate

    def forward(self, x):
        return x * (mask(x.shape, self.keep).to(x.dtype) * (1.0 / self.keep)) if self.training else x


def mask(shape, keep):
    """True with probability `keep`, to 1/65536: random words read as bytes or as 16-bit numbers."""
    in_bytes = (keep * 256).is_integer()
    dtype, levels, per_word = (torch.uint8, 256, 8) if in_bytes else (torch.int16, 65536, 4)
    words = torch.empty(-(-shape.numel() // per_word), dtype=torch.int64, device=DEVICE)
    words.random_(-(2**63), None, generator=Dropout.stream)
    numbers = words.view(dtype)[: shape.numel()].view(shape)
    lowest, kept = (0 if in_bytes else -levels // 2), round(keep * levels)
    return numbers < lowest + kept if kept < levels else torch.ones_like(numbers, dtype=torch.bool)
''',
}


def _network(entries: list[Entry]) -> str:
    used = [code for name, code in CLASSES.items() if any(entry.module.startswith(name) for entry in entries)]
    lines = "".join(f'        "{entry.name}": {entry.module},\n' for entry in entries)
    return f"""

# Network
{_apart(used)}

def build():
    layers = {{
{lines}    }}
    names = {{name.replace(".", "_"): name for name in layers}}  # as the checkpoint calls them
    return nn.Sequential(OrderedDict(zip(names, layers.values(), strict=True))), names
"""


def _apart(codes: list[str]) -> str:
    return "\n".join(codes)


def _loop(spec: JobSpec, task: Task, per_epoch: int, steps: int, *, has_dropout: bool) -> str:
    seeding = '        Dropout.stream.manual_seed(generator("dropout", step).initial_seed())\n' if has_dropout else ""
    batch = max(EVALUATION_BATCH, spec.training.batch_size)
    name, measured = ("mae", "error") if task.kind == "regression" else ("accuracy", "right")
    return f'''

@torch.no_grad()
def evaluate():
    """Loss, and {"mean absolute error" if name == "mae" else name}, of the validation examples."""
    network.eval()
    loss = {measured} = 0.0
    for rows in torch.arange(len(validation[0])).split({batch}):
        inputs, targets = batch_of(validation, rows)
        outputs = network(inputs).float()
        loss += measure(outputs.double(), targets).item() * len(rows)
        {measured} += {measured}_in(outputs, targets)
    network.train()
    return {{"loss": loss / len(validation[0]), "{name}": {measured} / len(validation[0])}}


network.train()
step, lines = 0, []
for epoch in range({-(-steps // per_epoch)}):
    order = torch.randperm(len(training[0]), generator=generator("order", epoch))
    losses = examples = 0.0
    for rows in order.split(BATCH):
        if step == {steps}:
            break
{seeding}        loss = train_on(rows, learning_rate(step))
        losses, examples, step = losses + loss.item() * len(rows), examples + len(rows), step + 1
    line = {{"epoch": epoch + 1, "step": step, "train/loss": losses / examples}}
    if validation is not None:
        line |= {{f"validation/{{name}}": value for name, value in evaluate().items()}}
    lines.append(line)
    print(json.dumps(line), flush=True)

(HERE / "metrics.jsonl").write_text("".join(json.dumps(line) + "\\n" for line in lines))
tensors = {{}}
for name, value in network.state_dict().items():
    layer, _, kind = name.rpartition(".")
    tensors[f"{{NAMES[layer]}}.{{kind}}"] = value.cpu().contiguous()
save_file(tensors, HERE / "last.safetensors")
'''
