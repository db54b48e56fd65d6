"""The part of a start that looks at data."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from models.spec.initialization import Lsuv
from models.spec.layers import plan_of
from models.spec.starts import starts_of
from worker.training.layers import Convolution, Dense
from worker.training.network import module_name
from worker.training.run import Run


def calibrate(run: Run) -> None:
    """Scales the layers that start as `lsuv` by the first training batch; for a run that has not begun.

    Those that have the weights of an earlier job keep them.
    """
    spec, task = run.spec, run.data.task
    assert spec.initialization is not None
    starts = starts_of(spec.initialization, spec.network, plan_of(spec.network, task))
    loaded = run.position.warm_start.get("loaded", ())
    scaled = {
        module_name(spec.network, name): start
        for name, start in starts.items()
        if isinstance(start, Lsuv) and name not in loaded
    }
    if not scaled:
        return
    inputs, _ = run.feed.training_batch(run.data.training, run.order(0)[: spec.training.batch_size], 0, 0)
    scale_to_unit_variance(run.network, inputs, scaled)
    if run.average is not None:
        run.average.take()


@torch.no_grad()
def scale_to_unit_variance(network: nn.Module, inputs: Tensor, layers: Mapping[str, Lsuv]) -> None:
    """Rescales these modules in the order in which one forward pass comes to them, each by what the ones before it
    give once they are done. Mishkin & Matas 2016, arXiv:1511.06422, algorithm 1.

    Norms take the statistics of the batch and keep none; nothing is dropped.
    """
    buffers = [buffer.clone() for buffer in network.buffers()]
    hooks = [
        network.get_submodule(name).register_forward_pre_hook(partial(rescale, start)) for name, start in layers.items()
    ]
    network.train()
    network.get_submodule("dropout").eval()
    try:
        network(inputs)
    finally:
        network.train()
        for hook in hooks:
            hook.remove()
        for buffer, before in zip(network.buffers(), buffers, strict=True):
            buffer.copy_(before)


def rescale(start: Lsuv, layer: nn.Module, inputs: tuple[Tensor]) -> None:
    """w ← w / √Var(outputs), until the variance is near 1."""
    assert isinstance(layer, Dense | Convolution)
    for _ in range(start.max_iterations):
        variance = layer.plain(inputs[0]).var(correction=0)
        if not 0.0 < variance < torch.inf or abs(variance - 1.0) < start.tolerance:
            return
        layer.weight.div_(variance.sqrt())
