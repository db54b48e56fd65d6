"""VGG: Simonyan & Zisserman 2015, "Very deep convolutional networks for large-scale image recognition",
arXiv:1409.1556.
"""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from models.spec.image_layers import VGG_AVERAGE, VGG_DEPTHS, VGG_HEAD, VGG_WIDTHS
from models.spec.images import Vgg
from models.spec.plan import FEATURES
from models.spec.task import Task
from worker.training.dropout import NamedDropout
from worker.training.layers import Convolution, Dense, activate, flatten, norm_of


class VggNetwork(nn.Module):
    """Five stages of 3 × 3 convolutions, each with a max-pooling behind it, then the head."""

    def __init__(self, spec: Vgg, task: Task, dropout: NamedDropout) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        channels = task.input_shape[0]
        for count, width in zip(VGG_DEPTHS[spec.depth], VGG_WIDTHS, strict=True):
            convolutions = nn.ModuleList()
            for _ in range(count):
                norm = norm_of(spec.norm, width)
                convolutions.append(Convolution(channels, width, 3, bias=norm is None, norm=norm))
                channels = width
            self.stages.append(convolutions)
        self.classic = spec.head == "classic"
        widths = (channels * VGG_AVERAGE**2, *VGG_HEAD) if self.classic else (channels,)
        self.head = nn.ModuleList(Dense(inputs, outputs) for inputs, outputs in pairwise(widths))
        self.output = Dense(widths[-1], task.outputs)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        for stage, convolutions in enumerate(self.stages):
            assert isinstance(convolutions, nn.ModuleList)
            for index, convolution in enumerate(convolutions):
                x = self.dropout(activate(convolution(x), "relu"), f"stages.{stage}.{index}")
            x = F.max_pool2d(x, 2)
        x = flatten(F.adaptive_avg_pool2d(x, VGG_AVERAGE)) if self.classic else x.mean((2, 3))
        x = self.dropout(x, FEATURES)
        for index, dense in enumerate(self.head):
            x = self.dropout(activate(dense(x), "relu"), f"head.{index}")
        return self.output(x)  # type: ignore[no-any-return]
