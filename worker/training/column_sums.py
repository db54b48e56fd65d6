"""A dense layer of multi-hot inputs that come as lists of the places of their ones.

It adds up those of its columns that are meant, instead of multiplying 10,000 numbers of which 150 are not 0: the same
sum in another order.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

PLACES = torch.int32
"""The type of lists, by which they are known: no other input has it."""


def summed(lists: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """W · x + b of the rows x that the lists (examples, longest) stand for; `weight` (outputs, features)."""
    sums: Tensor = ColumnSums.apply(lists, weight)  # type: ignore[no-untyped-call]
    return sums if bias is None else sums + bias


class ColumnSums(torch.autograd.Function):
    """PyTorch's bag of embeddings, forward; its backward takes four times as long as this one."""

    @staticmethod
    def forward(ctx: Any, lists: Tensor, weight: Tensor) -> Tensor:
        present = lists < weight.shape[1]
        places, counts = lists[present], present.sum(1)
        ctx.save_for_backward(places, counts)
        ctx.features = weight.shape[1]
        return F.embedding_bag(places, weight.T.contiguous(), begins(counts).to(PLACES), mode="sum")

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        """The same sum the other way round: for each place the gradients of the examples that have it."""
        places, counts = ctx.saved_tensors
        ordered, order = places.sort(stable=True)
        examples = torch.repeat_interleave(torch.arange(len(counts)), counts)[order]
        firsts = begins(torch.bincount(ordered, minlength=ctx.features))
        sums = F.embedding_bag(examples, gradients[0].contiguous(), firsts, mode="sum")
        return None, sums.T.contiguous()


def begins(counts: Tensor) -> Tensor:
    """Where each of so many starts, one behind the other."""
    return counts.cumsum(0) - counts
