"""Wide residual networks: Zagoruyko & Komodakis 2016, "Wide residual networks", arXiv:1605.07146."""

from torch import Tensor, nn

from models.spec.image_layers import wide_resnet_blocks
from models.spec.images import WideResnet
from models.spec.plan import FEATURES
from models.spec.task import Task
from worker.training.dropout import NamedDropout
from worker.training.layers import BatchNorm, Convolution, Dense, activate

STEM_WIDTH = 16


class WideResidualNetwork(nn.Module):
    """Stem, three stages of pre-activation blocks, norm, ReLU, global average, output layer."""

    def __init__(self, spec: WideResnet, task: Task, dropout: NamedDropout) -> None:
        super().__init__()
        self.stem = Convolution(task.input_shape[0], STEM_WIDTH, 3)
        self.stages = nn.ModuleList()
        channels = STEM_WIDTH
        for stage, count in enumerate(wide_resnet_blocks(spec)):
            width = STEM_WIDTH * spec.widen_factor * 2**stage
            blocks = nn.ModuleList()
            for index in range(count):
                blocks.append(PreActivationBlock(channels, width, 2 if stage > 0 and index == 0 else 1))
                channels = width
            self.stages.append(blocks)
        self.norm = BatchNorm(channels)
        self.output = Dense(channels, task.outputs)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(self.stem(x), "stem")
        for stage, blocks in enumerate(self.stages):
            assert isinstance(blocks, nn.ModuleList)
            for index, block in enumerate(blocks):
                name = f"stages.{stage}.{index}"
                x = self.dropout(block(x, self.dropout, name), name)
        x = activate(self.norm(x), "relu")
        return self.output(self.dropout(x.mean((2, 3)), FEATURES))  # type: ignore[no-any-return]


class PreActivationBlock(nn.Module):
    """conv3×3(relu(norm(conv3×3(relu(norm(x)))))) + x; where the shape changes, the shortcut is a 1 × 1 convolution of
    relu(norm(x)).
    """

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = BatchNorm(inputs), Convolution(inputs, width, 3, stride)
        self.norm2, self.conv2 = BatchNorm(width), Convolution(width, width, 3)
        changes = inputs != width or stride != 1
        self.shortcut = Convolution(inputs, width, 1, stride, "valid") if changes else None

    def forward(self, x: Tensor, dropout: NamedDropout, name: str) -> Tensor:
        y = activate(self.norm1(x), "relu")
        shortcut = x if self.shortcut is None else self.shortcut(y)
        y = activate(self.norm2(dropout(self.conv1(y), f"{name}.conv1")), "relu")
        return dropout(self.conv2(y), f"{name}.sum") + shortcut  # type: ignore[no-any-return]
