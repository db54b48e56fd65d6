"""How the weights of dense and convolutional layers start. Norms start as the identity: scale 1, shift 0.

`fan_in` is the number of inputs of one unit (channels times kernel area for a convolution), `fan_out` the number of
units one input reaches (filters times kernel area). Every parameter is drawn from its own stream, so adding a layer
does not change the others.

What the job says is for every layer but those that an override names, and those of a `sequential` that say it
themselves.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from .technique import LayerName, Technique

Real = Annotated[float, Field(ge=-1e6, le=1e6)]
Spread = Annotated[float, Field(gt=0.0, le=1e6)]
Fan = Annotated[
    Literal["fan_in", "fan_out", "fan_avg"],
    Field(description="Which fan the variance is divided by; `fan_avg` is the mean of both."),
]
Nonlinearity = Annotated[
    Literal["relu", "leaky_relu", "tanh", "sigmoid", "selu", "linear"],
    Field(description="The activation behind the layer: it decides the gain."),
]


class UniformStart(Technique):
    """Uniform between low (included) and high (not included)."""

    type: Literal["uniform"] = "uniform"
    low: Real = 0.0
    high: Real = 0.01

    @model_validator(mode="after")
    def _is_an_interval(self) -> Self:
        if self.low >= self.high:
            raise PydanticCustomError("empty_interval", "`low` must be below `high`")
        return self


class NormalStart(Technique):
    """Normal with this mean and standard deviation, not truncated."""

    type: Literal["normal"] = "normal"
    mean: Real = 0.0
    std: Spread = 0.01


class ZerosStart(Technique):
    """All 0."""

    type: Literal["zeros"] = "zeros"


class ConstantStart(Technique):
    """All the same value."""

    type: Literal["constant"] = "constant"
    value: Real


BiasInitialization = Annotated[ZerosStart | ConstantStart | UniformStart | NormalStart, Field(discriminator="type")]
"""How biases start."""


class Overridable(Technique):
    """What the start of a job has and that of one layer has not."""

    overrides: Annotated[tuple["Override", ...], Field(max_length=64, strict=False)] = ()
    """Layers that start otherwise; where two mean the same layer, the later one counts."""
    zero_residual: bool = False
    """Every residual branch starts at 0, so that each block begins as its shortcut: of a `resnet` the last norm of the
    branch has the scale 0; of a `wide_resnet`, whose branches end in a convolution, and of `vit` and `transformer`,
    whose branches end in a dense layer, that layer starts at 0; of a `convnext` the scale of the branch does (Goyal et
    al. 2017, arXiv:1706.02677; Bachlechner et al. 2021, arXiv:2003.04887).
    """


class Start(Overridable):
    """What nearly every start of a job has."""

    bias: BiasInitialization = ZerosStart()
    """How biases start."""


class Uniform(UniformStart, Start):
    """Uniform between `low` and `high`, whatever the layer: w ~ U[low, high).

    `uniform(0, 0.01)` is the plain random start `rand(*shape) * 0.01`: every weight is positive with mean 0.005, so a
    layer multiplies the mean of its inputs by 0.005 · fan_in: narrow networks fade, wide ones explode.

    Reference: PyTorch's `torch.nn.init.uniform_`.
    """


class Normal(NormalStart, Start):
    """Normal with one spread whatever the layer: w ~ N(mean, std²), not truncated.

    Formula: w = mean + std · z, z standard normal.

    Reference: PyTorch's `torch.nn.init.normal_`.
    """


class Zeros(ZerosStart, Start):
    """Every weight 0. Units of one layer then stay equal for ever: useful to see why random starts exist, or for a
    linear model.

    Formula: w = 0.

    Reference: PyTorch's `torch.nn.init.zeros_`.
    """


class Ones(Start):
    """Every weight 1.

    Formula: w = 1.

    Reference: PyTorch's `torch.nn.init.ones_`.
    """

    type: Literal["ones"] = "ones"


class Constant(ConstantStart, Start):
    """Every weight `value`.

    Formula: w = value.

    Reference: PyTorch's `torch.nn.init.constant_`.
    """


class XavierUniform(Start):
    """Xavier (Glorot) uniform: w ~ U(−a, a), a = gain · √(3 / fan); with fan_avg = (fan_in + fan_out) / 2 that is gain
    · √(6 / (fan_in + fan_out)).

    Also called `glorot_uniform`.

    Reference: Glorot & Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks".
    """

    type: Literal["xavier_uniform"] = "xavier_uniform"
    gain: Spread = 1.0
    mode: Fan = "fan_avg"


class XavierNormal(Start):
    """Xavier (Glorot) normal: w ~ N(0, gain² / fan), not truncated.

    Two different starts are called Xavier. Glorot's own, the default here, has variance 2 / (fan_in + fan_out):
    `mode="fan_avg"`. The one many tutorials print as `randn * sqrt(1 / fan_in)` is LeCun's: `mode="fan_in"`. They are
    equal only where fan_in = fan_out.

    Also called `glorot_normal`.

    Reference: Glorot & Bengio 2010; LeCun et al. 1998, "Efficient BackProp".
    """

    type: Literal["xavier_normal"] = "xavier_normal"
    gain: Spread = 1.0
    mode: Fan = "fan_avg"


NEGATIVE_SLOPE = 0.01


class Rectified(Start):
    """What He's starts say."""

    mode: Fan = "fan_in"
    nonlinearity: Nonlinearity = "relu"
    negative_slope: Annotated[float, Field(ge=0.0, le=10.0)] = NEGATIVE_SLOPE
    """Only of `leaky_relu`."""

    @model_validator(mode="after")
    def _only_leaky_relu_has_a_slope(self) -> Self:
        if self.negative_slope != NEGATIVE_SLOPE and self.nonlinearity != "leaky_relu":
            raise PydanticCustomError(
                "negative_slope",
                'Only leaky_relu has a slope, and this is for {nonlinearity}: say "nonlinearity": "leaky_relu"',
                {"nonlinearity": self.nonlinearity},
            )
        return self


class KaimingNormal(Rectified):
    """Kaiming (He) normal: w ~ N(0, gain² / fan), not truncated; gain² is 2 for relu and 2 / (1 + negative_slope²) for
    leaky_relu.

    With the defaults `randn * sqrt(2 / fan_in)`: keeps the size of activations through layers of ReLU.

    Also called `he_normal`.

    Formula: w = gain / √fan · z, z standard normal.

    Reference: He et al. 2015, "Delving deep into rectifiers", arXiv:1502.01852.
    """

    type: Literal["kaiming_normal"] = "kaiming_normal"


class KaimingUniform(Rectified):
    """Kaiming (He) uniform: w ~ U(−a, a), a = gain · √(3 / fan): the variance of `kaiming_normal` without its tails.

    Also called `he_uniform`.

    Reference: He et al. 2015, "Delving deep into rectifiers", arXiv:1502.01852.
    """

    type: Literal["kaiming_uniform"] = "kaiming_uniform"


class Orthogonal(Start):
    """Orthogonal rows (or columns, whichever are fewer) times gain; a convolution's kernel is taken as a matrix of
    filters × the rest.

    Formula: W · Wᵀ = gain² · I, or Wᵀ · W where there are more rows than columns.

    Reference: Saxe et al. 2013, "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks",
    arXiv:1312.6120.
    """

    type: Literal["orthogonal"] = "orthogonal"
    gain: Spread = 1.0


class TruncatedNormal(Start):
    """Normal without tails: w ~ N(mean, std²), drawn again beyond mean ± 2 · std, as TensorFlow and Keras do.

    `std` is that before the cut, and nothing is scaled up for it: what comes out has a standard deviation of 0.8796 ·
    std. PyTorch's `trunc_normal_` cuts at the absolute values −2 and 2 instead, which for a small std cuts nothing.

    Reference: Keras's `TruncatedNormal`.
    """

    type: Literal["truncated_normal"] = "truncated_normal"
    mean: Real = 0.0
    std: Spread = 0.01


class LecunNormal(Start):
    """LeCun normal: variance 1 / fan_in, a normal cut at two standard deviations and scaled up to that variance again.

    What SELU is made for. Without the cut it is `xavier_normal` with `mode="fan_in"`.

    Reference: LeCun et al. 1998, "Efficient BackProp"; Klambauer et al. 2017, arXiv:1706.02515; cut as in Keras.
    """

    type: Literal["lecun_normal"] = "lecun_normal"


class LecunUniform(Start):
    """LeCun uniform: w ~ U(−a, a), a = √(3 / fan_in), so the variance is 1 / fan_in.

    Reference: LeCun et al. 1998, "Efficient BackProp".
    """

    type: Literal["lecun_uniform"] = "lecun_uniform"


class VarianceScaling(Start):
    """Variance scale / fan, of the distribution that is named: the one generator of Xavier's, He's and LeCun's starts.

    `truncated_normal` is cut at two standard deviations and scaled up so that its variance is still scale / fan (σ is
    divided by 0.87962566), as in Keras.

    Formula: Var(w) = scale / fan.

    Reference: Keras's `VarianceScaling`; He et al. 2015, arXiv:1502.01852.
    """

    type: Literal["variance_scaling"] = "variance_scaling"
    scale: Spread = 1.0
    mode: Fan = "fan_in"
    distribution: Literal["normal", "truncated_normal", "uniform"] = "truncated_normal"


class DeltaOrthogonal(Start):
    """An orthogonal matrix times gain at the centre of a convolution's kernel and 0 elsewhere: the layer keeps the
    length of what it gets, wherever there are at least as many filters as channels. A dense layer starts `orthogonal`.

    Formula: W[:, :, centre] · W[:, :, centre]ᵀ = gain² · I, and W = 0 elsewhere.

    Reference: Xiao et al. 2018, "Dynamical isometry and a mean field theory of CNNs", arXiv:1806.05393.
    """

    type: Literal["delta_orthogonal"] = "delta_orthogonal"
    gain: Spread = 1.0


class Identity(Start):
    """The identity times gain: output i is gain · input i, as far as there are both; of a convolution at the centre of
    its kernel, as `dirac`.

    Reference: Le et al. 2015, "A simple way to initialize recurrent networks of rectified linear units",
    arXiv:1504.00941.
    """

    type: Literal["identity"] = "identity"
    gain: Spread = 1.0


class Dirac(Start):
    """Each filter passes one channel through: 1 at the centre of its kernel, 0 elsewhere. A dense layer starts as the
    `identity`.

    Formula: W[i, i, centre] = 1, and W = 0 elsewhere.

    Reference: Zagoruyko & Komodakis 2017, "DiracNets", arXiv:1706.00388.
    """

    type: Literal["dirac"] = "dirac"


class Sparse(Start):
    """w ~ N(0, std²), with the share `sparsity` of the weights of each input set to 0 (rounded up); of a convolution,
    the weights of each input and place in the kernel.

    Formula: w = std · z with z standard normal, and w = 0 for ⌈sparsity · outputs⌉ of the weights of each input.

    Reference: Martens 2010, "Deep learning via Hessian-free optimization"; PyTorch's `sparse_`.
    """

    type: Literal["sparse"] = "sparse"
    sparsity: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    std: Spread = 0.01


class Lsuv(Start):
    """Layer-sequential unit variance: orthogonal, then rescaled from the first layer to the last, w ← w / √Var(output),
    until the outputs of the layer have a variance within `tolerance` of 1, or so many times.

    The variance is that over all outputs before norm and activation, for the first training batch as the run sees it,
    but without dropout. A layer whose outputs are all equal stays as it is. Recurrent layers have no outputs of their
    own and start otherwise.

    Reference: Mishkin & Matas 2016, "All you need is a good init", arXiv:1511.06422.
    """

    type: Literal["lsuv"] = "lsuv"
    tolerance: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    max_iterations: Annotated[int, Field(ge=1, le=100)] = 10
    """Of a layer, at most."""


class Default(Overridable):
    """The framework's own start: PyTorch's, w and b ~ U(−1/√fan_in, 1/√fan_in), a variance of 1 / (3 · fan_in) and so
    smaller than He's.

    A plain ReLU network of ten layers started like this stays at chance for a long time.

    Reference: PyTorch's `torch.nn.Linear` and `torch.nn.Conv2d`.
    """

    type: Literal["default"] = "default"


ALIASES = {
    "he_normal": "kaiming_normal",
    "he_uniform": "kaiming_uniform",
    "glorot_normal": "xavier_normal",
    "glorot_uniform": "xavier_uniform",
}
"""Other names of the same starts. A parsed spec has the canonical name."""


def _canonical(value: Any) -> Any:
    if isinstance(value, dict) and isinstance(value.get("type"), str) and value["type"] in ALIASES:
        return {**value, "type": ALIASES[value["type"]]}
    return value


AnyInitialization = (
    Uniform
    | Normal
    | Zeros
    | Ones
    | Constant
    | XavierUniform
    | XavierNormal
    | KaimingNormal
    | KaimingUniform
    | Orthogonal
    | TruncatedNormal
    | LecunNormal
    | LecunUniform
    | VarianceScaling
    | DeltaOrthogonal
    | Identity
    | Dirac
    | Sparse
    | Lsuv
    | Default
)
Initialization = Annotated[Annotated[AnyInitialization, Field(discriminator="type")], BeforeValidator(_canonical)]


def _of_one_layer(start: AnyInitialization) -> AnyInitialization:
    if start.overrides or start.zero_residual:
        raise PydanticCustomError(
            "not_here", "`overrides` and `zero_residual` are for the whole network: they stand in the job's start"
        )
    return start


LayerInitialization = Annotated[Initialization, AfterValidator(_of_one_layer)]
"""How one layer starts, or some."""


Names = Annotated[tuple[LayerName, ...], Field(min_length=1, max_length=512, strict=False)]


class Override(Technique):
    """Some layers that start otherwise than the rest."""

    target: Literal["dense", "conv", "recurrent", "embedding"] | Names
    """A kind of layers, or names: that of a layer, or of what has layers below it (`stages.0`)."""
    initialization: LayerInitialization


for _start in AnyInitialization.__args__:
    _start.model_rebuild()
