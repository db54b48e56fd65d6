"""Residual networks: He et al. 2016, "Deep residual learning for image recognition", arXiv:1512.03385."""

from torch import Tensor, nn
from torch.nn import functional as F

from models.spec.layers import resnet_blocks
from models.spec.network import BOTTLENECK_DEPTHS, Resnet
from models.spec.plan import FEATURES
from models.spec.task import Task
from worker.training.dropout import NamedDropout
from worker.training.layers import BatchNorm, Convolution, Dense, activate

BOTTLENECK_EXPANSION = 4


class ResidualNetwork(nn.Module):
    """Stem, stages of residual blocks, global average, output layer; dropout where it is asked for."""

    def __init__(self, spec: Resnet, task: Task, dropout: NamedDropout) -> None:
        super().__init__()
        assert spec.stem != "auto"
        assert spec.width is not None
        self.pooled_stem = spec.stem == "large"
        kernel, stride = (7, 2) if self.pooled_stem else (3, 1)
        self.stem = Convolution(task.input_shape[0], spec.width, kernel, stride, norm=BatchNorm(spec.width))
        self.stages = nn.ModuleList()
        channels = spec.width
        for stage, count in enumerate(resnet_blocks(spec.depth)):
            blocks = nn.ModuleList()
            for index in range(count):
                width, stride = spec.width * 2**stage, 2 if stage > 0 and index == 0 else 1
                block: BasicBlock | Bottleneck
                if spec.depth in BOTTLENECK_DEPTHS:
                    block, outputs = Bottleneck(channels, width, stride), width * BOTTLENECK_EXPANSION
                else:
                    block, outputs = BasicBlock(channels, width, stride), width
                blocks.append(block)
                channels = outputs
            self.stages.append(blocks)
        self.output = Dense(channels, task.outputs)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        x = activate(self.stem(x), "relu")
        if self.pooled_stem:
            x = F.max_pool2d(x, 3, 2, 1)
        x = self.dropout(x, "stem")
        for stage, blocks in enumerate(self.stages):
            assert isinstance(blocks, nn.ModuleList)
            for index, block in enumerate(blocks):
                name = f"stages.{stage}.{index}"
                x = self.dropout(block(x, self.dropout, f"{name}.sum"), name)
        return self.output(self.dropout(x.mean((2, 3)), FEATURES))  # type: ignore[no-any-return]


class BasicBlock(nn.Module):
    """relu(norm(conv3×3(relu(norm(conv3×3(x))))) + shortcut(x))."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = Convolution(inputs, width, 3, stride), BatchNorm(width)
        self.conv2, self.norm2 = Convolution(width, width, 3), BatchNorm(width)
        self.shortcut = shortcut(inputs, width, stride)

    def forward(self, x: Tensor, dropout: NamedDropout, branch: str) -> Tensor:
        y = activate(self.norm1(self.conv1(x)), "relu")
        y = dropout(self.norm2(self.conv2(y)), branch)
        return activate(y + self.shortcut(x), "relu")


class Bottleneck(nn.Module):
    """relu(norm(conv1×1(relu(norm(conv3×3(relu(norm(conv1×1(x)))))))) + shortcut(x)); the 3 × 3 has the stride."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * BOTTLENECK_EXPANSION
        self.conv1, self.norm1 = Convolution(inputs, width, 1), BatchNorm(width)
        self.conv2, self.norm2 = Convolution(width, width, 3, stride), BatchNorm(width)
        self.conv3, self.norm3 = Convolution(width, outputs, 1), BatchNorm(outputs)
        self.shortcut = shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor, dropout: NamedDropout, branch: str) -> Tensor:
        y = activate(self.norm1(self.conv1(x)), "relu")
        y = activate(self.norm2(self.conv2(y)), "relu")
        y = dropout(self.norm3(self.conv3(y)), branch)
        return activate(y + self.shortcut(x), "relu")


def shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    """The identity, or a 1 × 1 convolution with its norm where the shape changes."""
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return Convolution(inputs, outputs, 1, stride, "valid", norm=BatchNorm(outputs))
