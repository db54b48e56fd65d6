"""How a gradient becomes a step."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from .technique import LayerName, Technique, Weight

LearningRate = Annotated[float, Field(gt=0.0, le=1e9)]
Decay = Annotated[float, Field(ge=0.0, lt=1.0)]
Epsilon = Annotated[float, Field(gt=0.0, le=1.0)]
Multiplier = Annotated[float, Field(ge=0.0, le=1e6)]


class Stepping(Technique):
    """What all optimizers have in common."""

    multipliers: dict[LayerName, Multiplier] = Field({}, max_length=512)
    """Factors of the learning rate, by target: the name of a layer, what the names of several begin with (`stages.0`),
    or `kernels`, `biases`, `norms`. A parameter that several targets mean gets the product of their factors. Decoupled
    weight decay and the proximal step go with the rate. At 0 the parameter is frozen: it has no gradient and stays what
    it is.
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
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    epsilon: Epsilon = 1e-8


class AdamW(Stepping):
    """Adam with decoupled weight decay: besides Adam's step, w ← w − learning_rate · weight_decay · w. Biases and norms
    are exempt.

    Reference: Loshchilov & Hutter 2019, "Decoupled weight decay regularization", arXiv:1711.05101.
    """

    type: Literal["adamw"] = "adamw"
    learning_rate: LearningRate = 0.001
    betas: tuple[Decay, Decay] = (0.9, 0.999)
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
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    epsilon: Epsilon = 1e-8
    momentum_decay: Decay = 0.004


class RAdam(Stepping):
    """Adam that rectifies the variance of its rate: while too few gradients are known to trust v̂, the step is that of
    momentum alone.

    Reference: Liu et al. 2020, "On the variance of the adaptive learning rate and beyond", arXiv:1908.03265.
    """

    type: Literal["radam"] = "radam"
    learning_rate: LearningRate = 0.001
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    epsilon: Epsilon = 1e-8


class Adamax(Stepping):
    """Adam with the largest gradient in place of the root of v: w ← w − learning_rate · m̂ / u, u ← max(betas[1] · u,
    |g| + epsilon).

    Reference: Kingma & Ba 2015, section 7, arXiv:1412.6980.
    """

    type: Literal["adamax"] = "adamax"
    learning_rate: LearningRate = 0.002
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    epsilon: Epsilon = 1e-8


class Adadelta(Stepping):
    """Adadelta: w ← w − learning_rate · g · √(d + epsilon) / √(v + epsilon), with v and d the running means of g² and
    of the squared steps.

    Reference: Zeiler 2012, "ADADELTA: an adaptive learning rate method", arXiv:1212.5701.
    """

    type: Literal["adadelta"] = "adadelta"
    learning_rate: LearningRate = 1.0
    rho: Decay = 0.9
    epsilon: Epsilon = 1e-6


class Adagrad(Stepping):
    """Adagrad: s ← s + g², w ← w − learning_rate · g / (√s + epsilon). The sum never shrinks: the steps do.

    Reference: Duchi et al. 2011, "Adaptive subgradient methods for online learning and stochastic optimization".
    """

    type: Literal["adagrad"] = "adagrad"
    learning_rate: LearningRate = 0.01
    epsilon: Epsilon = 1e-10
    initial_accumulator: Annotated[float, Field(ge=0.0, le=1e6)] = 0.0


Optimizer = Annotated[
    Sgd | Adam | AdamW | NAdam | RAdam | Adamax | RMSprop | Adagrad | Adadelta, Field(discriminator="type")
]
