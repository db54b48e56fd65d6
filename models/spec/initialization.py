"""How the weights of dense and convolutional layers start. Norms start as the identity: scale 1, shift 0.

`fan_in` is the number of inputs of one unit (channels times kernel area for a convolution), `fan_out` the number of
units one input reaches (filters times kernel area). Every parameter is drawn from its own stream, so adding a layer
does not change the others.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from .technique import Technique

Real = Annotated[float, Field(ge=-1e6, le=1e6)]
Spread = Annotated[float, Field(gt=0.0, le=1e6)]
Fan = Literal["fan_in", "fan_out", "fan_avg"]
Nonlinearity = Literal["relu", "leaky_relu", "tanh", "sigmoid", "selu", "linear"]


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


class Uniform(UniformStart):
    """Uniform between `low` and `high`, whatever the layer: w ~ U[low, high).

    `uniform(0, 0.01)` is the plain random start `rand(*shape) * 0.01`: every weight is positive with mean 0.005, so a
    layer multiplies the mean of its inputs by 0.005 · fan_in: narrow networks fade, wide ones explode.
    """

    bias: BiasInitialization = ZerosStart()


class Normal(NormalStart):
    """Normal with one spread whatever the layer: w ~ N(mean, std²), not truncated."""

    bias: BiasInitialization = ZerosStart()


class Zeros(ZerosStart):
    """Every weight 0. Units of one layer then stay equal for ever: useful to see why random starts exist, or for a
    linear model.
    """

    bias: BiasInitialization = ZerosStart()


class Ones(Technique):
    """Every weight 1."""

    type: Literal["ones"] = "ones"
    bias: BiasInitialization = ZerosStart()


class Constant(ConstantStart):
    """Every weight `value`."""

    bias: BiasInitialization = ZerosStart()


class XavierUniform(Technique):
    """Xavier (Glorot) uniform: w ~ U(−a, a), a = gain · √(3 / fan); with fan_avg = (fan_in + fan_out) / 2 that is gain
    · √(6 / (fan_in + fan_out)).

    Also called `glorot_uniform`.

    Reference: Glorot & Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks".
    """

    type: Literal["xavier_uniform"] = "xavier_uniform"
    gain: Spread = 1.0
    mode: Fan = "fan_avg"
    bias: BiasInitialization = ZerosStart()


class XavierNormal(Technique):
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
    bias: BiasInitialization = ZerosStart()


class KaimingNormal(Technique):
    """Kaiming (He) normal: w ~ N(0, gain² / fan), not truncated; gain² is 2 for relu and 2 / (1 + negative_slope²) for
    leaky_relu.

    With the defaults `randn * sqrt(2 / fan_in)`: keeps the size of activations through layers of ReLU.

    Also called `he_normal`.

    Reference: He et al. 2015, "Delving deep into rectifiers", arXiv:1502.01852.
    """

    type: Literal["kaiming_normal"] = "kaiming_normal"
    mode: Fan = "fan_in"
    nonlinearity: Nonlinearity = "relu"
    negative_slope: Annotated[float, Field(ge=0.0, le=10.0)] = 0.01
    """Of leaky_relu; the others do not look at it."""
    bias: BiasInitialization = ZerosStart()


class KaimingUniform(Technique):
    """Kaiming (He) uniform: w ~ U(−a, a), a = gain · √(3 / fan): the variance of `kaiming_normal` without its tails.

    Also called `he_uniform`.

    Reference: He et al. 2015, "Delving deep into rectifiers", arXiv:1502.01852.
    """

    type: Literal["kaiming_uniform"] = "kaiming_uniform"
    mode: Fan = "fan_in"
    nonlinearity: Nonlinearity = "relu"
    negative_slope: Annotated[float, Field(ge=0.0, le=10.0)] = 0.01
    """Of leaky_relu; the others do not look at it."""
    bias: BiasInitialization = ZerosStart()


class Orthogonal(Technique):
    """Orthogonal rows (or columns, whichever are fewer) times gain; a convolution's kernel is taken as a matrix of
    filters × the rest.

    Reference: Saxe et al. 2013, "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks",
    arXiv:1312.6120.
    """

    type: Literal["orthogonal"] = "orthogonal"
    gain: Spread = 1.0
    bias: BiasInitialization = ZerosStart()


class TruncatedNormal(Technique):
    """Normal without tails: w ~ N(mean, std²), drawn again beyond mean ± 2 · std, as TensorFlow and Keras do.

    `std` is that before the cut, and nothing is scaled up for it: what comes out has a standard deviation of 0.8796 ·
    std. PyTorch's `trunc_normal_` cuts at the absolute values −2 and 2 instead, which for a small std cuts nothing.

    Reference: Keras's `TruncatedNormal`.
    """

    type: Literal["truncated_normal"] = "truncated_normal"
    mean: Real = 0.0
    std: Spread = 0.01
    bias: BiasInitialization = ZerosStart()


class LecunNormal(Technique):
    """LeCun normal: variance 1 / fan_in, a normal cut at two standard deviations and scaled up to that variance again.

    What SELU is made for. Without the cut it is `xavier_normal` with `mode="fan_in"`.

    Reference: LeCun et al. 1998, "Efficient BackProp"; Klambauer et al. 2017, arXiv:1706.02515; cut as in Keras.
    """

    type: Literal["lecun_normal"] = "lecun_normal"
    bias: BiasInitialization = ZerosStart()


class LecunUniform(Technique):
    """LeCun uniform: w ~ U(−a, a), a = √(3 / fan_in), so the variance is 1 / fan_in.

    Reference: LeCun et al. 1998, "Efficient BackProp".
    """

    type: Literal["lecun_uniform"] = "lecun_uniform"
    bias: BiasInitialization = ZerosStart()


class VarianceScaling(Technique):
    """Variance scale / fan, of the distribution that is named: the one generator of Xavier's, He's and LeCun's starts.

    `truncated_normal` is cut at two standard deviations and scaled up so that its variance is still scale / fan (σ is
    divided by 0.87962566), as in Keras.

    Reference: Keras's `VarianceScaling`; He et al. 2015, arXiv:1502.01852.
    """

    type: Literal["variance_scaling"] = "variance_scaling"
    scale: Spread = 1.0
    mode: Fan = "fan_in"
    distribution: Literal["normal", "truncated_normal", "uniform"] = "truncated_normal"
    bias: BiasInitialization = ZerosStart()


class DeltaOrthogonal(Technique):
    """An orthogonal matrix times gain at the centre of a convolution's kernel and 0 elsewhere: the layer keeps the
    length of what it gets, wherever there are at least as many filters as channels. A dense layer starts `orthogonal`.

    Reference: Xiao et al. 2018, "Dynamical isometry and a mean field theory of CNNs", arXiv:1806.05393.
    """

    type: Literal["delta_orthogonal"] = "delta_orthogonal"
    gain: Spread = 1.0
    bias: BiasInitialization = ZerosStart()


class Identity(Technique):
    """The identity times gain: output i is gain · input i, as far as there are both; of a convolution at the centre of
    its kernel, as `dirac`.

    Reference: Le et al. 2015, "A simple way to initialize recurrent networks of rectified linear units",
    arXiv:1504.00941.
    """

    type: Literal["identity"] = "identity"
    gain: Spread = 1.0
    bias: BiasInitialization = ZerosStart()


class Dirac(Technique):
    """Each filter passes one channel through: 1 at the centre of its kernel, 0 elsewhere. A dense layer starts as the
    `identity`.

    Reference: Zagoruyko & Komodakis 2017, "DiracNets", arXiv:1706.00388.
    """

    type: Literal["dirac"] = "dirac"
    bias: BiasInitialization = ZerosStart()


class Sparse(Technique):
    """w ~ N(0, std²), with the share `sparsity` of the weights of each input set to 0 (rounded up); of a convolution,
    the weights of each input and place in the kernel.

    Reference: Martens 2010, "Deep learning via Hessian-free optimization"; PyTorch's `sparse_`.
    """

    type: Literal["sparse"] = "sparse"
    sparsity: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    std: Spread = 0.01
    bias: BiasInitialization = ZerosStart()


class Default(Technique):
    """The framework's own start: PyTorch's, w and b ~ U(−1/√fan_in, 1/√fan_in), a variance of 1 / (3 · fan_in) and so
    smaller than He's.

    A plain ReLU network of ten layers started like this stays at chance for a long time.
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
    | Default
)
Initialization = Annotated[Annotated[AnyInitialization, Field(discriminator="type")], BeforeValidator(_canonical)]
