"""What the techniques of a run really did, measured: "you asked, this ran".

A technique that had no effect where it must have had one is a bug of ours, and ends the run as one.
"""

from collections.abc import Iterator, Mapping
from typing import Any, assert_never

import torch
from torch import Tensor, nn

from models.spec.augmentation import Augmentation
from models.spec.averaging import Ema, Lookahead, Swa
from models.spec.layers import plan_of
from models.spec.photometric import Invert
from models.spec.places import branches, places_of
from models.spec.regularization import (
    L1,
    L1L2,
    L2,
    Activity,
    AlphaDropout,
    DropBlock,
    Dropout,
    DropPath,
    InjectedNoise,
    LabelSmoothing,
    MaxNorm,
    Orthogonality,
    Regularization,
    Sam,
    SpatialDropout,
    SpectralNorm,
    WeightDecay,
)
from models.spec.starts import branch_ends, starts_of
from models.spec.vectors import GaussianNoise
from models.spec.words import PADDING
from worker.training.clipping import unit_norms
from worker.training.events import Warned
from worker.training.layers import Embedding, parts_of
from worker.training.moments import agree, moments_of
from worker.training.network import module_name
from worker.training.regularization import excess, kernels_of, kinds_of, matrix_of, weights_of
from worker.training.run import Run

Report = dict[str, Any]
"""JSON."""
Counts = Mapping[str, float]

CERTAIN = 1000
"""So many are expected: that there is none is no chance."""


class NoEffect(Exception):
    """A technique that was asked for has done nothing, and must have."""


def begin(run: Run) -> None:
    """Takes down how the weights of a run start, and begins to count.

    Raises NoEffect where they are not what their start makes of them.
    """
    run.position.starts = starts(run)
    run.tally.clear()
    for layer in run.position.starts:
        if not layer.pop("agrees"):
            raise NoEffect(f"The weights of {layer['layer']} have not started as they should: {layer}")


@torch.no_grad()
def starts(run: Run) -> list[Report]:
    """Mean and standard deviation of every kernel as it is, beside what its start wants: where the data or an earlier
    job decide, nothing.
    """
    spec, task = run.spec, run.data.task
    assert spec.initialization is not None
    plan = plan_of(spec.network, task)
    named = starts_of(spec.initialization, spec.network, plan)
    loaded = set(run.position.warm_start.get("loaded", ()))
    elsewhere = {end.name for end in branch_ends(plan)} if spec.initialization.zero_residual else set()
    elsewhere |= loaded
    modules = [run.network.get_submodule(module_name(spec.network, name)) for name in named]
    kernels: list[Tensor] = [started(module) for module in modules]
    found = torch.stack([torch.stack([kernel.mean(), kernel.std(correction=0)]) for kernel in kernels]).tolist()
    reports = []
    for (name, start), module, kernel, (mean, std) in zip(named.items(), modules, kernels, found, strict=True):
        word = "warm_start" if name in loaded else start.type
        report: Report = {"layer": name, "start": word, "parameters": kernel.numel(), "mean": mean, "std": std}
        report["agrees"] = True
        wanted = (
            None if name in elsewhere else moments_of(start, module.get_parameter("weight").chunk(parts_of(module))[0])
        )
        if wanted is not None:
            report |= {"wanted_mean": wanted[0], "wanted_std": wanted[1]}
            report["agrees"] = agree((mean, std), wanted, kernel.numel(), start)
        reports.append(report)
    return reports


def started(module: nn.Module) -> Tensor:
    """What of a module's weights has been drawn: of an embedding all but the row of padding."""
    weight = module.get_parameter("weight")
    return weight[PADDING + 1 :] if isinstance(module, Embedding) else weight


@torch.no_grad()
def applied(run: Run) -> Report:
    """Family by family what was measured so far. Waits for the device."""
    counts = run.tally.read()
    spec = run.spec
    steps, skipped = run.position.step, counts.get("steps/skipped", 0.0)
    return {
        "initialization": run.position.starts,
        "regularization": [{"type": one.type, **of_regularization(run, one, counts)} for one in spec.regularization],
        "augmentation": [
            {"type": one.type, "p": one.p, **below(f"augmentation/{place}/", counts, "examples", "chosen", "changed")}
            for place, one in enumerate(spec.augmentation)
        ],
        "optimizer": {"type": spec.optimizer.type, "updates": steps - int(skipped), "groups": groups(run)},
        "schedule": {"type": spec.schedule.type, **run.position.rates},
        "clipping": {
            "type": None if spec.clipping is None else spec.clipping.type,
            "clipped_share": counts.get("steps/clipped", 0.0) / max(steps, 1),
            "skipped_share": skipped / max(steps, 1),
        },
        "averaging": None
        if run.average is None
        else {"type": run.average.technique.type, "updates": int(counts.get("averaging/updates", 0))},
    }


def below(prefix: str, counts: Counts, *names: str) -> Report:
    return {name: int(counts.get(f"{prefix}{name}", 0)) for name in names}


def groups(run: Run) -> list[Report]:
    """Parameters that are updated alike: their rate over the schedule's, and their decoupled decay."""
    decays = {parameter: decay for decay, decayed in run.stepper.decayed.items() for parameter in decayed}
    alike: dict[tuple[float, float], int] = {}
    for group in run.stepper.optimizer.param_groups:
        for parameter in group["params"]:
            decay = decays.get(parameter, 0.0) / group["factor"] + group.get("weight_decay", 0.0)
            alike[group["factor"], decay] = alike.get((group["factor"], decay), 0) + parameter.numel()
    return [
        {"rate_factor": factor, "weight_decay": decay, "parameters": numbers}
        for (factor, decay), numbers in alike.items()
    ]


def of_regularization(run: Run, technique: Regularization, counts: Counts) -> Report:
    match technique:
        case L1() | L2() | L1L2() | Orthogonality() | MaxNorm():
            return of_kernels(run, technique)
        case Dropout() | SpatialDropout() | AlphaDropout() | DropBlock() | DropPath():
            places = places_in(run, technique)
            numbers = sum(counts.get(f"{technique.type}/{place}/numbers", 0.0) for place in places)
            kept = sum(counts.get(f"{technique.type}/{place}/kept", 0.0) for place in places)
            dropped = (numbers - kept) / numbers if numbers else 0.0
            return {"places": places, "numbers": int(numbers), "dropped_share": dropped}
        case Activity():
            places = places_in(run, technique)
            forwards = sum(counts.get(f"activity/{place}/forwards", 0.0) for place in places)
            penalty = sum(counts.get(f"activity/{place}/penalty", 0.0) for place in places)
            return {"places": places, "forwards": int(forwards), "penalty": penalty * len(places) / max(forwards, 1.0)}
        case LabelSmoothing():
            return below("label_smoothing/", counts, "examples")
        case WeightDecay():
            return of_decay(run, technique)
        case Sam():
            return below("sam/", counts, "ascents")
        case SpectralNorm():
            norms = [run.spectral.norm(name).item() for name in run.spectral.kernels]
            return {"kernels": len(norms), "smallest_norm": min(norms), "largest_norm": max(norms)}
        case InjectedNoise():
            return {"on": technique.on, "numbers": int(counts.get(f"gaussian_noise/{technique.on}", 0))}
        case _:
            assert_never(technique)


def of_kernels(run: Run, technique: L1 | L2 | L1L2 | Orthogonality | MaxNorm) -> Report:
    """What a technique on kernels finds, as the weights are now."""
    kernels = kernels_of(run.spec, run.network, technique.target)
    numbers = sum(kernel.numel() for kernel in kernels)
    report: Report = {"kernels": len(kernels), "parameters": numbers}
    match technique:
        case L1(mode="proximal"):
            zeros = sum(int((kernel == 0.0).sum()) for kernel in kernels)
            return {**report, "zeros_share": zeros / max(numbers, 1)}
        case Orthogonality():
            excesses = sum(excess(matrix_of(kernel)).square().sum().item() for kernel in kernels)
            return {**report, "penalty": technique.weight * excesses}
        case MaxNorm():
            longest = max((unit_norms(kernel).max().item() for kernel in kernels), default=0.0)
            return {**report, "longest": longest}
        case _:
            l1, l2 = weights_of(technique)
            sums = sum((l1 * kernel.abs().sum() + l2 * kernel.square().sum()).item() for kernel in kernels)
            return {**report, "penalty": sums}


def places_in(
    run: Run, technique: Dropout | SpatialDropout | AlphaDropout | DropBlock | DropPath | Activity
) -> list[str]:
    spec, task = run.spec, run.data.task
    plan = plan_of(spec.network, task)
    return list(branches(plan) if isinstance(technique, DropPath) else places_of(technique, spec.network, plan))


def of_decay(run: Run, technique: WeightDecay) -> Report:
    """How many parameters shrink, and of which kind those are that do not."""
    numbers: dict[str, int] = {"kernel": 0, "bias": 0, "norm": 0}
    for name, kind in kinds_of(run.network).items():
        numbers[kind] += run.network.get_parameter(name).numel()
    exempt = {kind: numbers[kind] for kind in technique.exempt}
    return {"weight": technique.weight, "parameters": sum(numbers.values()) - sum(exempt.values()), "exempt": exempt}


def verify(run: Run) -> None:
    """Raises NoEffect where a technique of a run that is over has done nothing."""
    report = applied(run)
    for technique, found in zip(run.spec.regularization, report["regularization"], strict=True):
        if run.position.step and has_failed(technique, found):
            raise NoEffect(f"The regularization {technique.type} has had no effect: {found}")
    for operation, found in zip(run.spec.augmentation, report["augmentation"], strict=True):
        if was_not_drawn(operation, found) or (isinstance(operation, MUST_SHOW) and is_invisible(found)):
            raise NoEffect(f"The augmentation {operation.type} has had no effect: {found}")
    averaging = run.spec.training.averaging
    if (
        averaging is not None
        and not report["averaging"]["updates"]
        and run.position.step >= first_update(run, averaging)
    ):
        raise NoEffect(f"The averaging {averaging.type} has averaged nothing")


MUST_SHOW = Invert | GaussianNoise
"""Whatever the data are, they are others after these."""


def has_failed(technique: Regularization, found: Report) -> bool:
    """Whether what was found cannot be if the technique has acted."""
    match technique:
        case L1() | L2():
            return technique.weight > 0.0 and not found["parameters"]
        case L1L2():
            return technique.l1 + technique.l2 > 0.0 and not found["parameters"]
        case Orthogonality() | WeightDecay():
            return technique.weight > 0.0 and not found["parameters"]
        case MaxNorm():
            return not found["parameters"]
        case Dropout() | SpatialDropout() | AlphaDropout() | DropBlock() | DropPath():
            return not found["numbers"] or (technique.rate * found["numbers"] > CERTAIN and not found["dropped_share"])
        case Activity():
            return not found["forwards"]
        case LabelSmoothing():
            return technique.epsilon > 0.0 and not found["examples"]
        case Sam():
            return not found["ascents"]
        case SpectralNorm():
            return not found["kernels"]
        case InjectedNoise():
            return not found["numbers"]
        case _:
            assert_never(technique)


def was_not_drawn(operation: Augmentation, found: Report) -> bool:
    return operation.p * found["examples"] > CERTAIN and not found["chosen"]


def is_invisible(found: Report) -> bool:
    return found["chosen"] > 0 and not found["changed"]


def first_update(run: Run, averaging: Ema | Swa | Lookahead) -> int:
    """The first step after which there must be an average."""
    match averaging:
        case Ema():
            return 1
        case Swa():
            return averaging.start.in_steps(run.clock.steps_per_epoch, run.clock.steps)
        case Lookahead():
            return averaging.k
        case _:
            assert_never(averaging)


def unseen(run: Run) -> Iterator[Warned]:
    """A run that has learned nothing, and augmentations that were drawn and have changed nothing that there is: flips
    of symmetric images, say.
    """
    report = applied(run)
    if run.position.step and not report["optimizer"]["updates"]:
        yield Warned("no_effect", "Not one gradient was finite: every step was skipped, and the weights never moved")
    for place, found in enumerate(report["augmentation"]):
        if is_invisible(found):
            detail = (
                f"/augmentation/{place}: {found['type']} was drawn {found['chosen']:,} times and changed no example"
            )
            yield Warned("no_effect", detail)
