"""Networks in compiled form, for the pass of a step: `torch.compile` fuses the many small operations between the large
ones (Ansel et al. 2024, "PyTorch 2: Faster machine learning through dynamic Python bytecode transformation and graph
compilation", ASPLOS).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from worker.training.dropout import NamedDropout

Forward = Callable[[Tensor], Tensor]

FORMS = 1000
"""Of a batch, and of what learns: each is compiled for itself."""


def compiled(network: nn.Module, dropout: NamedDropout) -> Forward:
    """The network's pass. What it computes is a function of the inputs and not of what was compiled before: it is one
    graph for each form of a batch, never widened to many, and never in part the network as it is.

    Its first call for each form takes half a minute, or seconds where it was compiled on this machine before.
    """
    from torch._dynamo import config  # a second of importing, for nothing where nothing is compiled

    forward = torch.compile(network, fullgraph=True, dynamic=False)
    known: dict[str, Any] = {
        "recompile_limit": FORMS,
        "accumulated_recompile_limit": FORMS,
        "fail_on_recompile_limit_hit": True,
    }

    def run(inputs: Tensor) -> Tensor:
        with config.patch(**known), dropout.drawing():  # both hold for one thread, and each replica has its own
            outputs: Tensor = forward(inputs)
        return outputs

    return run
