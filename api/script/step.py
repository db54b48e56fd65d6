"""The parts of a script that make a step: loss, penalties, clipping, optimizer."""

from api.script.network import Entry
from api.script.refusals import Refusals
from models.spec.clipping import GlobalNorm, Norm, Value
from models.spec.job import JobSpec
from models.spec.loss import BinaryCrossEntropy, CrossEntropy, Huber, MeanAbsoluteError, MeanSquaredError
from models.spec.network import Conv, Dense, Sequential
from models.spec.optimizer import Adadelta, Adagrad, Adam, Adamax, AdamW, NAdam, RAdam, RMSprop, Sgd
from models.spec.regularization import (
    L1,
    L1L2,
    L2,
    Dropout,
    L1L2Penalty,
    L1Penalty,
    L2Penalty,
    LabelSmoothing,
    WeightDecay,
)
from models.spec.task import Task


def loss_code(spec: JobSpec, task: Task, refusals: Refusals) -> str:
    """Defines `measure`, `soften`, `batch_of` and how what is right is counted."""
    match spec.loss:
        case CrossEntropy():
            refusals.unless(
                spec.loss.class_weights == "none", "/loss/class_weights", "weights of classes are not written"
            )
            loss = "F.cross_entropy(outputs, targets)"
        case BinaryCrossEntropy():
            logits = "outputs" if task.kind == "multi_label" else "outputs.squeeze(1)"
            loss = f"F.binary_cross_entropy_with_logits({logits}, targets.to(outputs.dtype))"
        case MeanSquaredError():
            loss = "F.mse_loss(outputs, targets)"
        case MeanAbsoluteError():
            loss = "F.l1_loss(outputs, targets)"
        case Huber():
            loss = f"F.huber_loss(outputs, targets, delta={spec.loss.delta})"
        case other:
            refusals.refuse("/loss/type", f"a loss of type {other.type if other else None} is not written")
            loss = ""
    layout = ".contiguous(memory_format=torch.channels_last)" if len(task.input_shape) == 3 else ""
    images = "inputs = inputs.permute(0, 3, 1, 2)\n    " if len(task.input_shape) == 3 else ""
    return f"""

# Loss


def measure(outputs, targets):
    return {loss}


def batch_of(part, rows):
    inputs, targets = part[0][rows].to(DEVICE).float(), part[1][rows].to(DEVICE)
    {images}if SCALE is not None:
        inputs = torch.addcmul(OFFSET.to(DEVICE), inputs, SCALE.to(DEVICE)){layout}
    return inputs, targets
{_counting(task)}{_softening(spec, task)}"""


def _counting(task: Task) -> str:
    match task.kind:
        case "regression":
            return f"""

def error_in(outputs, targets):
    return (outputs.double() - targets).abs().sum().item() / {task.outputs}
"""
        case "multiclass":
            right = "(outputs.argmax(1) == targets).sum().item()"
        case "binary":
            right = "((outputs.squeeze(1) > 0) == (targets > 0.5)).sum().item()"
        case "multi_label":
            right = f"((outputs > 0) == (targets > 0.5)).sum().item() / {task.outputs}"
    return f"""

def right_in(outputs, targets):
    return {right}
"""


def smoothing_of(spec: JobSpec) -> float:
    certain = 1.0
    for technique in spec.regularization:
        if isinstance(technique, LabelSmoothing):
            certain *= 1.0 - technique.epsilon
    return 1.0 - certain


def _softening(spec: JobSpec, task: Task) -> str:
    epsilon = smoothing_of(spec)
    if not epsilon:
        return ""
    hot = f"    targets = F.one_hot(targets, {task.outputs})\n" if task.kind == "multiclass" else ""
    shares = 2 if task.kind == "multi_label" else len(task.classes)
    return f"""

def soften(targets):
{hot}    return targets.float() * (1.0 - {epsilon}) + {epsilon} / {shares}
"""


def penalty_code(spec: JobSpec, entries: list[Entry], refusals: Refusals) -> str:
    """Defines `PENALTIES`, the weights of L1 and L2 by layer, and `NAMES` and `network`."""
    kernels = [entry.name for entry in entries if entry.module.startswith(("nn.Linear", "nn.Conv2d"))]
    weights: dict[str, tuple[float, float]] = {}

    def add(name: str, one: L1Penalty | L2Penalty | L1L2Penalty) -> None:
        l1 = one.l1 if isinstance(one, L1L2Penalty) else one.weight if isinstance(one, L1Penalty) else 0.0
        l2 = one.l2 if isinstance(one, L1L2Penalty) else one.weight if isinstance(one, L2Penalty) else 0.0
        before = weights.get(name, (0.0, 0.0))
        weights[name] = (before[0] + l1, before[1] + l2)

    for index, technique in enumerate(spec.regularization):
        match technique:
            case L1(mode="proximal"):
                refusals.refuse(f"/regularization/{index}/mode", "the proximal step is not written")
            case L1(target="kernels") | L2(target="kernels") | L1L2(target="kernels"):
                for name in kernels:
                    add(name, technique)
            case L1() | L2() | L1L2():
                refusals.refuse(f"/regularization/{index}/target", "penalties on some layers are not written")
            case Dropout() | LabelSmoothing() | WeightDecay():
                pass
            case _:
                refusals.refuse(f"/regularization/{index}", f"{technique.type} is not written")
    if isinstance(spec.network, Sequential):
        for index, layer in enumerate(spec.network.layers):
            for own in layer.regularization if isinstance(layer, Dense | Conv) else ():
                add(f"layers.{index}", own)
    return f"""
PENALTIES = {weights!r}  # (l1, l2) of l1 · Σ|w| + l2 · Σw²

network, NAMES = build()
start(network)
network.to(DEVICE, memory_format=torch.channels_last)
"""


def optimizer_code(spec: JobSpec, refusals: Refusals) -> str:
    """Defines `optimizer` and `decay`."""
    technique = spec.optimizer
    refusals.unless(
        not getattr(technique, "multipliers", {}), "/optimizer/multipliers", "factors of the rate are not written"
    )
    rate = technique.learning_rate
    match technique:
        case Sgd():
            refusals.unless(not technique.dampening, "/optimizer/dampening", "is not written")
            words = f"momentum={technique.momentum}, nesterov={technique.nesterov}, fused=True"
            made = f"torch.optim.SGD(network.parameters(), {rate}, {words})"
        case Adam():
            made = f"torch.optim.Adam(network.parameters(), {rate}, {technique.betas}, {technique.epsilon}, fused=True)"
        case AdamW():
            words = f"{rate}, {technique.betas}, {technique.epsilon}, {technique.weight_decay}, fused=True"
            made = f"torch.optim.AdamW(groups, {words})"
        case NAdam():
            words = f"betas={technique.betas}, eps={technique.epsilon}, momentum_decay={technique.momentum_decay}"
            made = f"torch.optim.NAdam(network.parameters(), {rate}, {words}, foreach=True)"
        case RAdam() | Adamax():
            name = "RAdam" if isinstance(technique, RAdam) else "Adamax"
            words = f"betas={technique.betas}, eps={technique.epsilon}, foreach=True"
            made = f"torch.optim.{name}(network.parameters(), {rate}, {words})"
        case Adadelta():
            words = f"rho={technique.rho}, eps={technique.epsilon}, foreach=True"
            made = f"torch.optim.Adadelta(network.parameters(), {rate}, {words})"
        case Adagrad():
            words = f"initial_accumulator_value={technique.initial_accumulator}, eps={technique.epsilon}, fused=True"
            made = f"torch.optim.Adagrad(network.parameters(), {rate}, {words})"
        case RMSprop():
            words = f"alpha={technique.alpha}, eps={technique.epsilon}, momentum={technique.momentum}, foreach=True"
            made = f"torch.optim.RMSprop(network.parameters(), {rate}, {words}, centered={technique.centered})"
        case _:
            refusals.refuse("/optimizer/type", f"an optimizer of type {technique.type} is not written")
            made = ""
    listed = "kernels = [parameter for parameter in network.parameters() if parameter.dim() > 1]"
    return f"{listed}\n{_groups(technique)}optimizer = {made}"


def _groups(technique: object) -> str:
    if not isinstance(technique, AdamW):
        return ""
    return """others = [parameter for parameter in network.parameters() if parameter.dim() == 1]
groups = [{"params": kernels}, {"params": others, "weight_decay": 0.0}]
"""


def step_code(spec: JobSpec, refusals: Refusals) -> str:
    """Defines `train_on`."""
    lines = ["inputs, targets = batch_of(training, rows)"]
    if smoothing_of(spec):
        lines.append("targets = soften(targets)")
    lines += [
        "optimizer.zero_grad()",
        "loss = measure(network(inputs), targets)",
        "loss.backward()",
        "with torch.no_grad():",
        "    for name, (l1, l2) in PENALTIES.items():  # their gradients, before clipping",
        '        weight = network.get_submodule(name.replace(".", "_")).weight',
        "        weight.grad.add_(weight, alpha=2.0 * l2)",
        "        weight.grad.add_(weight.sign(), alpha=l1)",
        *_clipping(spec, refusals),
        *_decay(spec, refusals),
        "for group in optimizer.param_groups:",
        '    group["lr"] = rate',
        "optimizer.step()",
        "return loss.detach()",
    ]
    body = "".join(f"    {line}\n" for line in lines)
    return f'\n\ndef train_on(rows, rate):\n    """One step on these examples."""\n{body}'


def _clipping(spec: JobSpec, refusals: Refusals) -> list[str]:
    match spec.clipping:
        case None:
            return []
        case GlobalNorm():
            norm = f"{spec.clipping.max_norm}, float({spec.clipping.norm_type!r})"
            return [f"nn.utils.clip_grad_norm_(network.parameters(), {norm})"]
        case Norm():
            norm = f"{spec.clipping.max_norm}, float({spec.clipping.norm_type!r})"
            return ["for parameter in network.parameters():", f"    nn.utils.clip_grad_norm_([parameter], {norm})"]
        case Value():
            return [f"nn.utils.clip_grad_value_(network.parameters(), {spec.clipping.clip_value})"]
        case _:
            refusals.refuse("/clipping/type", f"clipping of type {spec.clipping.type} is not written")
            return []


def _decay(spec: JobSpec, refusals: Refusals) -> list[str]:
    weight = 0.0
    for index, technique in enumerate(spec.regularization):
        if isinstance(technique, WeightDecay):
            exempt = set(technique.exempt) == {"bias", "norm"}
            refusals.unless(exempt, f"/regularization/{index}/exempt", "decay of biases or norms is not written")
            weight += technique.weight
    if not weight:
        return []
    return ["with torch.no_grad():", "    for kernel in kernels:", f"        kernel.mul_(1.0 - rate * {weight})"]
