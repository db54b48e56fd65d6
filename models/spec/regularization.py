"""What keeps the network from learning the training data by heart. A list: everything in it acts.

Penalties act on *kernels*: weights with at least two dimensions, of dense and convolutional layers; never on biases or
norms. They are added to the loss that is minimized and reported apart from it.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from .technique import LayerName, Rate, Technique, Weight

Target = Annotated[
    Literal["kernels"] | Annotated[tuple[LayerName, ...], Field(min_length=1, max_length=512)],
    Field(description="`kernels`: those of every layer; or the names of layers."),
]


class L1Penalty(Technique):
    """Adds weight · Σ|w| over the layer's kernel to the loss."""

    type: Literal["l1"] = "l1"
    weight: Weight = 0.01


class L2Penalty(Technique):
    """Adds weight · Σw² over the layer's kernel to the loss (no ½)."""

    type: Literal["l2"] = "l2"
    weight: Weight = 0.01


class L1L2Penalty(Technique):
    """Adds l1 · Σ|w| + l2 · Σw² over the layer's kernel to the loss."""

    type: Literal["l1_l2"] = "l1_l2"
    l1: Weight = 0.01
    l2: Weight = 0.01


LayerRegularization = Annotated[L1Penalty | L2Penalty | L1L2Penalty, Field(discriminator="type")]
"""What one layer of a `sequential` network may carry; it acts on that layer's kernel, besides what the job says for
all.
"""


class L1(L1Penalty):
    """L1: adds weight · Σ|w| over the targeted kernels to the loss. Pulls weights towards 0, unused inputs first.

    A sum, not a mean, as in Keras. The gradient weight · sign(w) brings weights near 0 but rarely to exactly 0. With
    `mode="proximal"` there is no such gradient; after each step every weight moves towards 0 by as much as the
    optimizer would have moved it in the long run, and stops there: w ← sign(w) · max(|w| − t, 0) with t = learning_rate
    · weight · (1 − dampening) / (1 − momentum) under sgd, learning_rate · weight / (√v̂ + ε) under adam, adamw, nadam
    and (once it trusts v̂) radam, learning_rate · weight / u under adamax, / (√s + ε) under adagrad, and learning_rate ·
    weight / ((√v + ε) · (1 − momentum)) under rmsprop. That pulls as hard as the penalty and gives exact zeros; their
    share is the metric `train/sparsity`. Other optimizers have no such factor and refuse it.

    Reference: Tibshirani 1996, "Regression shrinkage and selection via the lasso"; Parikh & Boyd 2014, "Proximal
    algorithms".
    """

    target: Target = "kernels"
    mode: Literal["penalty", "proximal"] = "penalty"


class L2(L2Penalty):
    """L2: adds weight · Σw² over the targeted kernels to the loss, Keras's convention without ½: the gradient is 2 ·
    weight · w.

    L2 is not weight decay under Adam or RMSprop: there the gradient of the penalty is divided by the running size of
    the gradients, while decay is not. Under plain SGD, L2 of weight λ equals decay of 2λ.

    Reference: Krogh & Hertz 1991, "A simple weight decay can improve generalization"; Loshchilov & Hutter 2019,
    arXiv:1711.05101, for the difference.
    """

    target: Target = "kernels"


class L1L2(L1L2Penalty):
    """L1 and L2 together (elastic net): adds l1 · Σ|w| + l2 · Σw² over the targeted kernels to the loss.

    Reference: Zou & Hastie 2005, "Regularization and variable selection via the elastic net".
    """

    target: Target = "kernels"


class Dropout(Technique):
    """Inverted dropout: in training, each activation is 0 with probability `rate` and else divided by 1 − rate; in
    evaluation nothing happens.

    Stands by default after every hidden activation of the head: of an `mlp` all hidden layers; of a `cnn` the dense
    layers, or `features` (the last pooling) where the head is empty; of a `sequential` every dense layer but the last;
    of the others `features`, what is pooled before the output layer, or the classic head of a `vgg`.

    Formula: y = m ⊙ x / (1 − rate), with m = 1 with probability 1 − rate and else 0.

    Reference: Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting".
    """

    type: Literal["dropout"] = "dropout"
    rate: Rate = 0.5
    after: Literal["head"] | Annotated[tuple[LayerName, ...], Field(min_length=1, max_length=512)] = "head"
    """`head`, or the names of the layers after whose activation it stands."""


Places = Annotated[tuple[LayerName, ...], Field(min_length=1, max_length=512)]


class SpatialDropout(Technique):
    """Spatial dropout: whole channels of an image are 0 with probability `rate` and else divided by 1 − rate, for each
    example anew; in evaluation nothing happens.

    Neighbouring pixels of a channel tell nearly the same, so dropping single ones hardly takes anything away.

    Formula: y = m ⊙ x / (1 − rate), with one m for each example and channel, 1 with probability 1 − rate and else 0.

    Reference: Tompson et al. 2015, "Efficient object localization using convolutional networks", arXiv:1411.4280.
    """

    type: Literal["spatial_dropout"] = "spatial_dropout"
    rate: Rate = 0.1
    after: Literal["convolutions"] | Places = "convolutions"
    """`convolutions`: behind the activation of every convolution, of a `resnet` behind the stem and every block; or the
    names of layers that give images.
    """


class AlphaDropout(Technique):
    """Alpha dropout: in training, each activation is −1.7581 with probability `rate`, then all are scaled and shifted
    so that mean 0 and variance 1 stay what they are: a · x + b with a = ((1 − rate) · (1 + rate · 1.7581²))^−½ and b =
    a · rate · 1.7581.

    Made for SELU, whose lowest value is −1.7581, with `lecun_normal` as the start.

    Reference: Klambauer et al. 2017, "Self-normalizing neural networks", arXiv:1706.02515.
    """

    type: Literal["alpha_dropout"] = "alpha_dropout"
    rate: Rate = 0.1
    after: Literal["head"] | Places = "head"
    """As of `dropout`."""


class DropPath(Technique):
    """Stochastic depth: in training, the residual branch of a block is 0 with its rate, for each example anew, and else
    divided by 1 − rate; the example goes by the shortcut alone.

    With `linear` the rate rises evenly from 0 at the first block to `rate` at the last; with `uniform` all have the
    same.

    Formula: y = shortcut(x) + m · branch(x) / (1 − rate), with one m for each example, 1 with probability 1 − rate and
    else 0.

    Reference: Huang et al. 2016, "Deep networks with stochastic depth", arXiv:1603.09382.
    """

    type: Literal["drop_path"] = "drop_path"
    rate: Rate = 0.1
    mode: Literal["linear", "uniform"] = "linear"
    """Whether the rate rises from block to block."""


class DropBlock(Technique):
    """DropBlock: in training, squares of block_size × block_size pixels of a channel are 0, and what is left is scaled
    up by the share that is left.

    A square begins at each pixel where it fits with probability rate · h · w / (block_size² · (h − block_size + 1) · (w
    − block_size + 1)), so that about `rate` of the pixels go. Where an image is smaller than the block, the block is as
    large as the image.

    Reference: Ghiasi et al. 2018, "DropBlock: a regularization method for convolutional networks", arXiv:1810.12890.
    """

    type: Literal["drop_block"] = "drop_block"
    rate: Rate = 0.1
    block_size: Annotated[int, Field(ge=1, le=64)] = 7
    """Pixels."""
    after: Literal["late"] | Places = "late"
    """`late`: behind the blocks in the last two stages of a residual network, where the paper puts it; of another
    network behind the activations of its last two convolutions; or the names of layers that give images.
    """


class Activity(Technique):
    """Adds l1 · Σ|a| + l2 · Σa² over the activations of hidden layers, as a mean over the examples of the batch, to the
    loss: keeps them small, and with l1 mostly 0. Of a sequence every step counts, those of padding too.

    Reference: Keras's `activity_regularizer`; Olshausen & Field 1996 for sparse codes.
    """

    type: Literal["activity"] = "activity"
    l1: Weight = 0.0
    l2: Weight = 1e-4
    after: Literal["hidden"] | Places = "hidden"
    """`hidden`: behind the activation of every dense and convolutional layer but the last, of a `resnet` behind the
    stem and every block; or the names of layers.
    """


class MaxNorm(Technique):
    """Max-norm: after each step the incoming weights of a unit (a row of a dense layer's kernel, a filter) are scaled
    down to the length `max` where they are longer: w ← w · min(1, max / ‖w‖₂).

    Reference: Srebro et al. 2005, "Maximum-margin matrix factorization"; Srivastava et al. 2014, "Dropout".
    """

    type: Literal["max_norm"] = "max_norm"
    max: Annotated[float, Field(gt=0.0, le=1e6)] = 3.0
    target: Target = "kernels"


class Orthogonality(Technique):
    """Adds weight · ‖W · Wᵀ − I‖² over the targeted kernels to the loss (the sum of squares; Wᵀ · W where W has more
    rows than columns), with a convolution's kernel as a matrix of filters × the rest.

    Reference: Brock et al. 2017, "Neural photo editing with introspective adversarial networks", arXiv:1609.07093;
    Bansal et al. 2018, arXiv:1810.09102.
    """

    type: Literal["orthogonality"] = "orthogonality"
    weight: Weight = 1e-4
    target: Target = "kernels"


class SpectralNorm(Technique):
    """Spectral normalization: the network computes with W / σ(W) instead of W, where σ(W) is the largest singular value
    of the kernel, taken as a matrix of units × their inputs: no layer stretches anything by more than 1.

    σ(W) = uᵀ · W · v, and at every step `iterations` of the power method bring u ← W · v / ‖W · v‖ and v ← Wᵀ · u / ‖Wᵀ
    · u‖ nearer to the singular vectors, from 15 iterations at the start on. They count as constants in the gradient.
    Penalties, decay and limits act on W. What is evaluated, saved and downloaded is W / σ(W), under the plain names.

    Reference: Miyato et al. 2018, "Spectral normalization for generative adversarial networks", arXiv:1802.05957.
    """

    type: Literal["spectral_norm"] = "spectral_norm"
    iterations: Annotated[int, Field(ge=1, le=100)] = 1
    target: Target = "kernels"


class InjectedNoise(Technique):
    """Gaussian noise N(0, std²), drawn anew at every step of the training: on the normalized `inputs`; on the `weights`
    (the kernels), where the gradient is taken at the noisy weights and the step made from those without noise; or on
    the `gradients`, after they are clipped, where the variance falls as std² / (1 + step)^decay.

    The paper's noise on gradients has a `decay` of 0.55 and a std² of 0.01, 0.3 or 1.

    Formula: x + std · n, n standard normal.

    Reference: Bishop 1995, "Training with noise is equivalent to Tikhonov regularization"; Graves 2011, "Practical
    variational inference for neural networks", for weights; Neelakantan et al. 2015, arXiv:1511.06807, for gradients.
    """

    type: Literal["gaussian_noise"] = "gaussian_noise"
    on: Literal["inputs", "weights", "gradients"] = "inputs"
    std: Annotated[float, Field(gt=0.0, le=1e3)] = 0.1
    decay: Annotated[float, Field(ge=0.0, le=2.0)] = 0.0
    """Only on gradients."""

    @model_validator(mode="after")
    def _only_gradients_calm_down(self) -> Self:
        if self.decay and self.on != "gradients":
            raise PydanticCustomError("decay", "Only the noise on gradients has a `decay`: leave it out")
        return self


class LabelSmoothing(Technique):
    """Label smoothing: in training, targets are y · (1 − epsilon) + epsilon / classes instead of 0 and 1.

    `train/loss` is the loss on these targets, as it is minimized; the validation loss is on the true ones.

    Reference: Szegedy et al. 2016, "Rethinking the inception architecture for computer vision", arXiv:1512.00567.
    """

    type: Literal["label_smoothing"] = "label_smoothing"
    epsilon: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1


class Sam(Technique):
    """Sharpness-aware minimization: the step takes the gradient not at w but at w + rho · g / ‖g‖, where the loss
    within the distance rho is about highest; it leads to flat minima. Each step goes through its batches twice.

    With `adaptive` (ASAM) the distance counts in weights: w + rho · T² · g / ‖T · g‖ with T = |w| + 0.01, and 1 for
    biases.

    Both passes see the same examples, augmented alike, with the same units dropped. g is the gradient of the loss and
    of activity penalties over all batches of the step; penalties on weights are added once, to the gradient that the
    step takes, and loss, metrics and the running means of batch norms are those of the first pass.

    Reference: Foret et al. 2021, "Sharpness-aware minimization for efficiently improving generalization",
    arXiv:2010.01412; Kwon et al. 2021, "ASAM", arXiv:2102.11600.
    """

    type: Literal["sam"] = "sam"
    rho: Annotated[float, Field(gt=0.0, le=100.0)] | None = None
    """0.05 unless said, and 0.5 with `adaptive`: what the papers take for CIFAR-10."""
    adaptive: bool = False


def usual_rho(sam: Sam) -> float:
    """Its own, or what its paper takes."""
    if sam.rho is not None:
        return sam.rho
    return 0.5 if sam.adaptive else 0.05


class WeightDecay(Technique):
    """Decoupled weight decay: w ← w − learning_rate · weight · w at each step, beside the optimizer's own update
    (AdamW, SGDW).

    Not the same as L2 under Adam or RMSprop, see `l2`. Biases and norms are exempt unless `exempt` says otherwise.

    Reference: Loshchilov & Hutter 2019, "Decoupled weight decay regularization", arXiv:1711.05101.
    """

    type: Literal["weight_decay"] = "weight_decay"
    weight: Weight = 0.01
    exempt: Annotated[tuple[Literal["bias", "norm"], ...], Field(max_length=2)] = ("bias", "norm")


Regularization = Annotated[
    L1
    | L2
    | L1L2
    | Dropout
    | SpatialDropout
    | AlphaDropout
    | DropPath
    | DropBlock
    | Activity
    | MaxNorm
    | Orthogonality
    | SpectralNorm
    | InjectedNoise
    | LabelSmoothing
    | WeightDecay
    | Sam,
    Field(discriminator="type"),
]
