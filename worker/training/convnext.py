"""ConvNeXt: Liu et al. 2022, "A ConvNet for the 2020s", arXiv:2201.03545."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from models.spec.image_layers import CONVNEXT_EXPANSION
from models.spec.images import Convnext
from models.spec.plan import FEATURES
from models.spec.task import Task
from worker.training.dropout import NamedDropout
from worker.training.layers import BranchScale, ChannelNorm, Convolution, Dense

NORM_EPSILON = 1e-6


class ConvnextNetwork(nn.Module):
    """Stem, stages of blocks with a norm and a strided convolution between them, global average, norm, output layer."""

    def __init__(self, spec: Convnext, task: Task, dropout: NamedDropout) -> None:
        super().__init__()
        assert spec.depths is not None
        assert spec.widths is not None
        assert spec.stem != "auto"
        first, last = spec.widths[0], spec.widths[-1]
        norm = ChannelNorm(first, NORM_EPSILON)
        if spec.stem == "large":
            self.stem = Convolution(task.input_shape[0], first, 4, 4, "valid", True, norm)
        else:
            self.stem = Convolution(task.input_shape[0], first, 3, bias=True, norm=norm)
        self.norms = nn.ModuleList(ChannelNorm(width, NORM_EPSILON) for width in spec.widths[:-1])
        self.downsamples = nn.ModuleList(
            Convolution(inputs, outputs, 2, 2, "valid", True) for inputs, outputs in pairwise(spec.widths)
        )
        self.stages = nn.ModuleList(
            nn.ModuleList(ConvnextBlock(width) for _ in range(depth))
            for depth, width in zip(spec.depths, spec.widths, strict=True)
        )
        self.norm = nn.LayerNorm(last, NORM_EPSILON)
        self.output = Dense(last, task.outputs)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(self.stem(x), "stem")
        for stage, blocks in enumerate(self.stages):
            assert isinstance(blocks, nn.ModuleList)
            if stage > 0:
                x = self.downsamples[stage - 1](self.norms[stage - 1](x))
            for index, block in enumerate(blocks):
                name = f"stages.{stage}.{index}"
                x = self.dropout(block(x, self.dropout, f"{name}.sum"), name)
        x = self.norm(self.dropout(x.mean((2, 3)), FEATURES))
        return self.output(x)  # type: ignore[no-any-return]


class ConvnextBlock(nn.Module):
    """x + scale · dense(gelu(dense(norm(depthwise7×7(x))))), the dense layers at each pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = Convolution(width, width, 7, bias=True, groups=width)
        self.norm = nn.LayerNorm(width, NORM_EPSILON)
        self.expand = Dense(width, CONVNEXT_EXPANSION * width)
        self.contract = Dense(CONVNEXT_EXPANSION * width, width)
        self.scale = BranchScale(width)

    def forward(self, x: Tensor, dropout: NamedDropout, branch: str) -> Tensor:
        y = self.depthwise(x).permute(0, 2, 3, 1)
        y = self.scale(self.contract(F.gelu(self.expand(self.norm(y))))).permute(0, 3, 1, 2)
        return x + dropout(y, branch)  # type: ignore[no-any-return]
