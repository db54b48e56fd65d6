"""How signals and gradients spread through a network that has learned nothing yet, and what to think of it.

Glorot & Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", looked at the same.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from models.spec.images import Convnext
from models.spec.job import JobSpec
from models.spec.layers import plan_of
from models.spec.places import SUM
from models.spec.plan import PlannedLayer
from worker.training.applied import starts
from worker.training.data import Dataset
from worker.training.loss import measure
from worker.training.lsuv import calibrate
from worker.training.network import module_name
from worker.training.run import Run
from worker.training.state import Weights

EXAMPLES = 64
"""Of the first batch."""

SMALL_SPREAD, LARGE_SPREAD = 0.01, 50.0
"""Outputs of a layer are at home between: they spread by about 1 where a start fits its network and data."""
SMALL_SHARE, LARGE_NORM = 1e-5, 1e3
"""A gradient below this share of the largest one does nothing; one beyond this norm does harm."""
DEAD_SHARE = 0.5

Word = Literal["exploding", "dead", "vanishing", "healthy"]
WORST_FIRST: tuple[Word, ...] = ("exploding", "dead", "vanishing", "healthy")


@dataclass
class Seen:
    """What came out of a layer, and which of its units an example has given a gradient."""

    mean: float = 0.0
    spread: float = 0.0
    touched: list[Tensor] = field(default_factory=list)

    @property
    def dead(self) -> float | None:
        """The share of units that no example gives a gradient; None where none went backward."""
        return None if not self.touched else 1.0 - torch.stack(self.touched).any(0).float().mean().item()


def preview_initialization(spec: JobSpec, data: Dataset, start_from: Weights | None = None) -> dict[str, Any]:
    """Every layer with weights: how they start, what it makes of the first examples of the first batch, the gradient it
    gets, and the verdict on each and on all.
    """
    run = Run(spec, data, "cpu", start_from)
    calibrate(run)
    run.network.train()
    run.freezer.hold(0)
    run.replicas.begin(run.spec.seed, run.position.step)
    plan = plan_of(spec.network, data.task)
    began = starts(run)
    seen: dict[str, Seen] = defaultdict(Seen)
    for report in began:
        module = run.network.get_submodule(module_name(spec.network, report["layer"]))
        module.register_forward_hook(partial(watch, seen[report["layer"]]))
    batch = run.order(0)[: spec.training.batch_size]
    inputs, targets = run.feed.training_batch(run.data.training, batch, epoch=0, step=0)
    inputs, targets = inputs[:EXAMPLES], targets[:EXAMPLES]
    with run.trained():
        with run.precision.autocast():
            outputs = run.network(inputs)
        loss = measure(run.loss, outputs.float(), targets, run.class_weights)
        torch.autograd.backward(loss)
    norms = {report["layer"]: norm_of(run, report["layer"]) for report in began}
    largest = max((norm for norm in norms.values() if norm is not None and math.isfinite(norm)), default=0.0)
    silent = silent_layers(spec, plan)
    if any(report["mean"] == report["std"] == 0.0 and norms[report["layer"]] for report in began):
        silent |= set(norms)  # a kernel of zeros that learns: what lies before it begins with it
    shapes = {layer.name: layer.weight for layer in plan}
    layers = [
        told(report, seen[report["layer"]], norms[report["layer"]], largest, shapes[report["layer"]], silent)
        for report in began
    ]
    word, sentence, advice = overall(spec, layers)
    return {
        "examples": len(inputs),
        "loss": finite(loss.item()),
        "verdict": word,
        "detail": sentence,
        "advice": advice,
        "layers": layers,
    }


def watch(seen: Seen, module: nn.Module, _: object, output: Tensor) -> None:
    values = output.detach().float()
    seen.mean, seen.spread = values.mean().item(), values.std(correction=0).item()
    units = 1 if isinstance(module, nn.Conv2d) else output.dim() - 1
    others = tuple(place for place in range(output.dim()) if place != units)

    def touch(gradient: Tensor) -> None:
        seen.touched.append((gradient != 0.0).any(others))

    if output.requires_grad:
        hook: Callable[[Callable[[Tensor], None]], object] = output.register_hook
        hook(touch)


def norm_of(run: Run, layer: str) -> float | None:
    """Of the gradient of its weights; None where it is frozen."""
    gradient = run.network.get_submodule(module_name(run.spec.network, layer)).get_parameter("weight").grad
    return None if gradient is None else gradient.norm().item()


def silent_layers(spec: JobSpec, plan: Sequence[PlannedLayer]) -> set[str]:
    """Those in residual branches that begin at, or next to, 0 on purpose: their gradients are as small, and grow."""
    assert spec.initialization is not None
    if not (spec.initialization.zero_residual or isinstance(spec.network, Convnext)):
        return set()
    blocks = tuple(layer.name.removesuffix(SUM) + "." for layer in plan if layer.kind == "sum")
    return {layer.name for layer in plan if layer.name.startswith(blocks)}


def told(
    began: dict[str, Any], seen: Seen, norm: float | None, largest: float, shape: tuple[int, ...], silent: set[str]
) -> dict[str, Any]:
    name = began["layer"]
    was_seen = seen.touched or seen.spread
    word, sentence = judged(seen if was_seen else None, norm, largest, name in silent)
    return {
        "name": name,
        "start": began["start"],
        "shape": list(shape),
        "weight_mean": finite(began["mean"]),
        "weight_std": finite(began["std"]),
        "activation_mean": finite(seen.mean) if was_seen else None,
        "activation_std": finite(seen.spread) if was_seen else None,
        "dead_share": seen.dead,
        "gradient_norm": None if norm is None else finite(norm),
        "verdict": word,
        "detail": sentence,
    }


def judged(seen: Seen | None, norm: float | None, largest: float, is_silent: bool) -> tuple[Word, str]:
    """The verdict on one layer, in a word and in a sentence."""
    if seen is not None and not seen.spread <= LARGE_SPREAD:
        return "exploding", f"Its outputs spread by {seen.spread:.3g}: about 1 is what the next layer can use"
    if norm is not None and not norm <= LARGE_NORM:
        return "exploding", f"Its gradient has the norm {norm:.3g}: one step would throw its weights away"
    if is_silent:
        return "healthy", "What follows it begins at or next to 0 on purpose: its gradient grows with that"
    if norm == 0.0:
        return "dead", "No example gives it a gradient: it does not learn in the first step"
    if seen is not None and (dead := seen.dead) is not None and dead >= DEAD_SHARE:
        return "dead", f"{dead:.0%} of its units get no gradient from any example"
    if seen is not None and seen.spread < SMALL_SPREAD:
        return "vanishing", f"Its outputs spread by {seen.spread:.3g} only: hardly anything of the input is left"
    if norm is not None and norm < SMALL_SHARE * largest:
        return "vanishing", f"Its gradient is {norm / largest:.1g} of the network's largest: it hardly learns"
    return "healthy", "It is frozen" if norm is None else "Its outputs and its gradient have a size to learn with"


def overall(spec: JobSpec, layers: list[dict[str, Any]]) -> tuple[Word, str, str | None]:
    """The worst verdict on any layer, where it begins, and what to try."""
    for word in WORST_FIRST[:-1]:
        found = [layer["name"] for layer in layers if layer["verdict"] == word]
        if found:
            first = next(layer["detail"] for layer in layers if layer["verdict"] == word)
            many = f" and {len(found) - 1} more of {len(layers)} layers" if len(found) > 1 else ""
            return word, f"{word.capitalize()} at {found[0]}{many}. {first}.", advice_on(spec, word)
    return "healthy", "Signals and gradients keep their size from the first layer to the last.", None


def advice_on(spec: JobSpec, word: Word) -> str:
    assert spec.initialization is not None
    activation = getattr(spec.network, "activation", "relu")
    fitting = {"tanh": "xavier_normal", "sigmoid": "xavier_normal", "selu": "lecun_normal"}.get(
        activation, "kaiming_normal"
    )
    start = f'{{"initialization": {{"type": "{fitting}"}}}}'
    other = "" if spec.initialization.type == fitting else f"{start}, which fits {activation}, or "
    match word:
        case "exploding":
            return f'Try {other}{{"dataset": {{"normalize": "auto"}}}}, or a network with norms.'
        case "dead":
            return f"Try {other}an activation that never gives 0 for good, such as leaky_relu."
        case _:
            return f"Try {other}a network with norms or residual branches, or fewer layers."


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
