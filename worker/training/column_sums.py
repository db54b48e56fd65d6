"""A dense layer of multi-hot inputs that come as lists of the places of their ones.

It adds up those of its columns that are meant, instead of multiplying 10,000 numbers of which 150 are not 0: the same
sum in another order.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

PLACES = torch.int32
"""The type of lists, by which they are known: no other input has it."""


def summed(lists: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """W · x + b of the rows x that the lists (examples, longest) stand for; `weight` (outputs, features)."""
    sums: Tensor = ColumnSums.apply(lists, weight)  # type: ignore[no-untyped-call]
    return sums if bias is None else sums + bias


def lay_by_columns(layer: nn.Linear) -> None:
    """Each column of its weight in one piece of memory: so it is read, and so its gradient comes out."""
    layer.weight.data = layer.weight.detach().T.contiguous().T


class ColumnSums(torch.autograd.Function):
    """PyTorch's bag of embeddings, forward; its backward takes four times as long as this one."""

    @staticmethod
    def forward(ctx: Any, lists: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(lists)
        ctx.features = weight.shape[1]
        columns = torch.cat([weight.T, weight.new_zeros(1, len(weight))])  # the last one for what fills the lists up
        return F.embedding_bag(lists, columns, mode="sum")

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        """The same sum the other way round: for each place the gradients of the examples that have it."""
        (lists,) = ctx.saved_tensors
        places = lists.flatten()
        firsts = begins(torch.bincount(places, minlength=ctx.features + 1))
        count = int(firsts[-1])
        if 2 * count < len(places):  # most is filling: do not sort it
            present = (places < ctx.features).nonzero()[:, 0]
            order = present[ordered(places[present], ctx.features)]
        else:
            order = ordered(places, ctx.features)[:count]
        examples = torch.from_numpy(order.numpy() // lists.shape[1])
        sums = F.embedding_bag(examples, gradients[0].contiguous(), firsts[:-1], mode="sum")
        return None, sums.T


def ordered(places: Tensor, most: int) -> Tensor:
    """The indices that sort `places` (each at most `most`), equal ones in their order: NumPy does it by radix, in half
    of PyTorch's time, where 16 bits hold them (and divides whole numbers in a quarter of it).
    """
    if most < 2**16:
        return torch.from_numpy(np.argsort(places.numpy().astype(np.uint16), kind="stable"))
    return places.sort(stable=True).indices


def begins(counts: Tensor) -> Tensor:
    """Where each of so many starts, one behind the other."""
    return counts.cumsum(0) - counts
