"""How a gradient becomes a step."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from .technique import LayerName, Technique, Weight

LearningRate = Annotated[
    float, Field(gt=0.0, le=1e9, description="The length of a step, before the schedule; see the formula.")
]
Decay = Annotated[float, Field(ge=0.0, lt=1.0)]
Betas = Annotated[
    tuple[Decay, Decay], Field(description="What is kept at each step of the running means of g and of g².")
]
Epsilon = Annotated[float, Field(gt=0.0, le=1.0, description="Keeps the divisor away from 0.")]
Multiplier = Annotated[float, Field(ge=0.0, le=1e6)]


class Stepping(Technique):
    """What all optimizers have in common."""

    multipliers: dict[LayerName, Multiplier] = Field({}, max_length=512)
    """Factors of the learning rate, by target: the name of a layer, what the names of several begin with (`stages.0`),
    or `kernels`, `biases`, `norms`. A parameter that several targets mean gets the product of their factors. Decoupled
    weight decay and the proximal step go with the rate. At 0 the parameter is frozen: it has no gradient and stays what
    it is; the running means of a batch norm, which are none, go on.
    """


class Sgd(Stepping):
    """Stochastic gradient descent with momentum: v ← momentum · v + (1 − dampening) · g, w ← w − learning_rate · v.

    With `nesterov` the step is g + momentum · v.

    Reference: Robbins & Monro 1951; Polyak 1964; Sutskever et al. 2013 for Nesterov's form.
    """

    type: Literal["sgd"] = "sgd"
    learning_rate: LearningRate = 0.01
    momentum: Decay = 0.0
    nesterov: bool = False
    dampening: Decay = 0.0

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> Self:
        if self.nesterov and (self.momentum == 0.0 or self.dampening > 0.0):
            raise PydanticCustomError("nesterov", "`nesterov` needs a momentum above 0 and no dampening")
        return self


class Adam(Stepping):
    """Adam: w ← w − learning_rate · m̂ / (√v̂ + epsilon), with m and v the running means of g and g².

    Reference: Kingma & Ba 2015, "Adam: a method for stochastic optimization", arXiv:1412.6980.
    """

    type: Literal["adam"] = "adam"
    learning_rate: LearningRate = 0.001
    betas: Betas = (0.9, 0.999)
    epsilon: Epsilon = 1e-8


class AdamW(Stepping):
    """Adam with decoupled weight decay: besides Adam's step, w ← w − learning_rate · weight_decay · w. Biases and norms
    are exempt.

    Reference: Loshchilov & Hutter 2019, "Decoupled weight decay regularization", arXiv:1711.05101.
    """

    type: Literal["adamw"] = "adamw"
    learning_rate: LearningRate = 0.001
    betas: Betas = (0.9, 0.999)
    epsilon: Epsilon = 1e-8
    weight_decay: Weight = 0.01


class RMSprop(Stepping):
    """RMSprop: v ← alpha · v + (1 − alpha) · g², w ← w − learning_rate · g / (√v + epsilon).

    `centered` subtracts the squared running mean of g from v; `momentum` runs on the step. Epsilon stands outside the
    root, as in PyTorch.

    Reference: Tieleman & Hinton 2012, "Lecture 6.5: RMSprop", Coursera; Graves 2013, arXiv:1308.0850, for `centered`.
    """

    type: Literal["rmsprop"] = "rmsprop"
    learning_rate: LearningRate = 0.001
    alpha: Decay = 0.9
    epsilon: Epsilon = 1e-7
    momentum: Decay = 0.0
    centered: bool = False


class NAdam(Stepping):
    """Adam with Nesterov's momentum: the step looks ahead by the momentum of the next step, betas[0] · (1 − ½ ·
    0.96^(t · momentum_decay)).

    Reference: Dozat 2016, "Incorporating Nesterov momentum into Adam".
    """

    type: Literal["nadam"] = "nadam"
    learning_rate: LearningRate = 0.002
    betas: Betas = (0.9, 0.999)
    epsilon: Epsilon = 1e-8
    momentum_decay: Decay = 0.004


class RAdam(Stepping):
    """Adam that rectifies the variance of its rate: while too few gradients are known to trust v̂, the step is that of
    momentum alone.

    Formula: w ← w − learning_rate · r · m̂ / (√v̂ + epsilon), with r the rectification at step t; w ← w − learning_rate
    · m̂ where there is none.

    Reference: Liu et al. 2020, "On the variance of the adaptive learning rate and beyond", arXiv:1908.03265.
    """

    type: Literal["radam"] = "radam"
    learning_rate: LearningRate = 0.001
    betas: Betas = (0.9, 0.999)
    epsilon: Epsilon = 1e-8


class Adamax(Stepping):
    """Adam with the largest gradient in place of the root of v: w ← w − learning_rate · m̂ / u, u ← max(betas[1] · u,
    |g| + epsilon).

    Reference: Kingma & Ba 2015, section 7, arXiv:1412.6980.
    """

    type: Literal["adamax"] = "adamax"
    learning_rate: LearningRate = 0.002
    betas: Betas = (0.9, 0.999)
    epsilon: Epsilon = 1e-8


class Adadelta(Stepping):
    """Adadelta: w ← w − learning_rate · g · √(d + epsilon) / √(v + epsilon), with v and d the running means of g² and
    of the squared steps.

    Reference: Zeiler 2012, "ADADELTA: an adaptive learning rate method", arXiv:1212.5701.
    """

    type: Literal["adadelta"] = "adadelta"
    learning_rate: LearningRate = 1.0
    rho: Decay = 0.9
    """What is kept of both running means at each step."""
    epsilon: Epsilon = 1e-6


class Adagrad(Stepping):
    """Adagrad: s ← s + g², w ← w − learning_rate · g / (√s + epsilon). The sum never shrinks: the steps do.

    Reference: Duchi et al. 2011, "Adaptive subgradient methods for online learning and stochastic optimization".
    """

    type: Literal["adagrad"] = "adagrad"
    learning_rate: LearningRate = 0.01
    epsilon: Epsilon = 1e-10
    initial_accumulator: Annotated[float, Field(ge=0.0, le=1e6)] = 0.0
    """What s begins with."""


class Adafactor(Stepping):
    """Adafactor: w ← w − max(smallest_scale, RMS(w)) · min(learning_rate, 1 / √t) · u / max(1, RMS(u) /
    clip_threshold), u = g / √v̂, with v̂ the product of the running means of g² + epsilon over the rows and over the
    columns of a matrix: it keeps rows + columns numbers of a kernel instead of rows · columns.

    The share of the newest gradient in the means is t^−decay; there is no momentum. The step is relative to the size of
    the weights, and the learning rate, which the schedule moves, a ceiling: after 1 / learning_rate² steps 1 / √t is
    below it. A convolution's kernel is taken as the matrix filters × the rest.

    Reference: Shazeer & Stern 2018, "Adafactor: adaptive learning rates with sublinear memory cost", arXiv:1804.04235.
    """

    type: Literal["adafactor"] = "adafactor"
    learning_rate: LearningRate = 0.01
    decay: Annotated[float, Field(gt=0.0, le=1.0)] = 0.8
    epsilon: Epsilon = 1e-30
    smallest_scale: Annotated[float, Field(gt=0.0, le=1e6)] = 1e-3
    """What the root mean square of the weights counts as at least, so that weights of 0 can move."""
    clip_threshold: Annotated[float, Field(gt=0.0, le=1e6)] = 1.0
    """The largest root mean square of u."""


class Lion(Stepping):
    """Lion: w ← w − learning_rate · sign(betas[0] · m + (1 − betas[0]) · g), m ← betas[1] · m + (1 − betas[1]) · g.

    Every weight moves by the learning rate, which is therefore 3 to 10 times smaller than Adam's, and a `weight_decay`
    beside it as many times larger.

    Reference: Chen et al. 2023, "Symbolic discovery of optimization algorithms", arXiv:2302.06675.
    """

    type: Literal["lion"] = "lion"
    learning_rate: LearningRate = 1e-4
    betas: Betas = (0.9, 0.99)


class Lamb(Stepping):
    """LAMB, Adam for large batches: w ← w − learning_rate · ‖w‖ / ‖r‖ · r for each kernel, r = m̂ / (√v̂ + epsilon) +
    weight_decay · w.

    Biases and norms are exempt from decay and ratio, as in the authors' code: their step is Adam's.

    Reference: You et al. 2020, "Large batch optimization for deep learning: training BERT in 76 minutes",
    arXiv:1904.00962.
    """

    type: Literal["lamb"] = "lamb"
    learning_rate: LearningRate = 0.001
    betas: Betas = (0.9, 0.999)
    epsilon: Epsilon = 1e-6
    weight_decay: Weight = 0.01


Elementwise = Annotated[
    Sgd | Adam | AdamW | NAdam | RAdam | Adamax | RMSprop | Adagrad | Adadelta | Adafactor | Lion | Lamb,
    Field(discriminator="type"),
]
"""What takes parameters of any shape."""


class Muon(Stepping):
    """Muon: w ← w − learning_rate · ratio · U · Vᵀ for the kernels of hidden layers, where U · S · Vᵀ is (nearly) the
    singular value decomposition of g + momentum · (m − g), m ← momentum · m + (1 − momentum) · g: a step of the same
    length in every direction.

    `other` steps for all that is no hidden matrix: biases and norms, positions and class tokens, the kernels of the
    first layer (an embedding of the inputs) and of the last. Its learning rate goes along the same schedule. A
    convolution's kernel is taken as the matrix filters × the rest; kernels of several gates, of queries, keys and
    values, or of groups as one matrix each. U · Vᵀ comes from five iterations of Newton and Schulz in bfloat16.

    Reference: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; Liu et al. 2025, "Muon is
    scalable for LLM training", arXiv:2502.16982, for `match_rms_adamw`.
    """

    type: Literal["muon"] = "muon"
    learning_rate: LearningRate = 0.02
    momentum: Decay = 0.95
    nesterov: bool = True
    """Without it the step is made of m."""
    steps: Annotated[int, Field(ge=1, le=20)] = 5
    """Iterations of Newton and Schulz."""
    adjust: Literal["original", "match_rms_adamw"] = "original"
    """The ratio: √max(1, rows / columns), or 0.2 · √max(rows, columns), with which AdamW's learning rates fit."""
    other: Elementwise = AdamW(learning_rate=3e-4, betas=(0.9, 0.95), epsilon=1e-10, weight_decay=0.0)

    @model_validator(mode="after")
    def _one_set_of_multipliers(self) -> Self:
        if self.other.multipliers:
            raise PydanticCustomError("multipliers", "`multipliers` stand in `muon` itself and act on all parameters")
        return self


Optimizer = Annotated[
    Sgd | Adam | AdamW | NAdam | RAdam | Adamax | RMSprop | Adagrad | Adadelta | Adafactor | Lion | Muon | Lamb,
    Field(discriminator="type"),
]
