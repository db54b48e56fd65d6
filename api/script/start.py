"""The part of a script that gives the weights their first values."""

from api.script.refusals import Refusals
from models.spec.initialization import (
    AnyInitialization,
    BiasInitialization,
    Constant,
    ConstantStart,
    Default,
    Fan,
    KaimingNormal,
    KaimingUniform,
    LecunNormal,
    LecunUniform,
    Normal,
    NormalStart,
    Ones,
    Orthogonal,
    TruncatedNormal,
    Uniform,
    UniformStart,
    XavierNormal,
    XavierUniform,
    Zeros,
    ZerosStart,
)

FANS: dict[Fan, str] = {"fan_in": "fan_in", "fan_out": "fan_out", "fan_avg": "((fan_in + fan_out) / 2)"}
TRUNCATED_SPREAD = 0.8796256610342398
"""The standard deviation of a standard normal that is cut at −2 and 2."""


def start_code(start: AnyInitialization, refusals: Refusals) -> str:
    refusals.unless(not start.overrides, "/initialization/overrides", "a start of some layers' own is not written")
    refusals.unless(not start.zero_residual, "/initialization/zero_residual", "is not written")
    kernel = kernel_code(start)
    if kernel is None:
        refusals.refuse("/initialization/type", f"a start of type {start.type} is not written")
    bias = "bias.uniform_(-1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in), generator=draw)"
    if not isinstance(start, Default):
        bias = bias_code(start.bias)
    return f"""
@torch.no_grad()
def start(network):
    for name, layer in network.named_children():
        if not isinstance(layer, nn.Linear | nn.Conv2d):
            continue  # norms start as the identity
        weight, area = torch.empty(layer.weight.shape), layer.weight[0, 0].numel()
        fan_in, fan_out = weight.shape[1] * area, weight.shape[0] * area
        draw = generator("initialization", f"{{NAMES[name]}}.weight")
        {kernel}
        layer.weight.copy_(weight)
        if layer.bias is not None:
            bias, draw = torch.empty(layer.bias.shape), generator("initialization", f"{{NAMES[name]}}.bias")
            {bias}
            layer.bias.copy_(bias)
"""


def kernel_code(start: AnyInitialization) -> str | None:
    """The statement that fills `weight`; None where there is none."""
    match start:
        case Uniform():
            return f"weight.uniform_({start.low}, {start.high}, generator=draw)"
        case Normal():
            return f"weight.normal_({start.mean}, {start.std}, generator=draw)"
        case Zeros():
            return "weight.zero_()"
        case Ones():
            return "weight.fill_(1.0)"
        case Constant():
            return f"weight.fill_({start.value})"
        case XavierNormal():
            return f"weight.normal_(0.0, {start.gain} / math.sqrt({FANS[start.mode]}), generator=draw)"
        case XavierUniform():
            return _even(f"{start.gain} * math.sqrt(3.0 / {FANS[start.mode]})")
        case KaimingNormal():
            gain = f"nn.init.calculate_gain({start.nonlinearity!r}, {start.negative_slope})"
            return f"weight.normal_(0.0, {gain} / math.sqrt({FANS[start.mode]}), generator=draw)"
        case KaimingUniform():
            gain = f"nn.init.calculate_gain({start.nonlinearity!r}, {start.negative_slope})"
            return _even(f"{gain} * math.sqrt(3.0 / {FANS[start.mode]})")
        case Orthogonal():
            return f"nn.init.orthogonal_(weight, {start.gain}, generator=draw)"
        case TruncatedNormal():
            low, high = start.mean - 2.0 * start.std, start.mean + 2.0 * start.std
            return f"nn.init.trunc_normal_(weight, {start.mean}, {start.std}, {low}, {high}, generator=draw)"
        case LecunNormal():
            std = f"std = math.sqrt(1.0 / fan_in) / {TRUNCATED_SPREAD}"
            return f"{std}\n        nn.init.trunc_normal_(weight, 0.0, std, -2.0 * std, 2.0 * std, generator=draw)"
        case LecunUniform():
            return _even("math.sqrt(3.0 * (1.0 / fan_in))")
        case Default():
            return "weight.uniform_(-1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in), generator=draw)"
        case _:
            return None


def _even(bound: str) -> str:
    return f"bound = {bound}\n        weight.uniform_(-bound, bound, generator=draw)"


def bias_code(start: BiasInitialization) -> str:
    match start:
        case ZerosStart():
            return "bias.zero_()"
        case ConstantStart():
            return f"bias.fill_({start.value})"
        case UniformStart():
            return f"bias.uniform_({start.low}, {start.high}, generator=draw)"
        case NormalStart():
            return f"bias.normal_({start.mean}, {start.std}, generator=draw)"
