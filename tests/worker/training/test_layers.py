"""What acts between the layers against closed forms, and every place of a network against its plan."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.spec import Task, parse_spec
from models.spec.layers import dropout_places
from models.spec.places import Acting, branches
from models.spec.regularization import Activity, AlphaDropout, DropBlock, Dropout, DropPath, SpatialDropout
from tests.worker.training.little import SMALL_RUN
from tests.worker.training.test_network import NETWORKS, built, pictures
from worker.training.dropout import NamedDropout
from worker.training.layers import Convolution
from worker.training.network import build_network

IMAGES = (256, 16, 9, 9)


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def acted(x: Tensor, *techniques: Acting) -> tuple[Tensor, NamedDropout]:
    dropout = NamedDropout({"here": techniques}, "cpu").train()
    dropout.generator.manual_seed(3)
    return dropout(x, "here"), dropout


@pytest.mark.parametrize(
    ("technique", "together"),
    [(Dropout(rate=0.25), ()), (SpatialDropout(rate=0.25), (2, 3)), (DropPath(rate=0.25), (1, 2, 3))],
    ids=lambda value: getattr(value, "type", ""),
)
def test_what_goes_goes_together_and_the_rest_is_scaled_up(technique: Acting, together: tuple[int, ...]) -> None:
    x = normal(*IMAGES)
    y, _ = acted(x, technique)
    share = (y == 0).float().mean(together, keepdim=True) if together else (y == 0).float()
    assert set(share.flatten().tolist()) == {0.0, 1.0}
    assert share.mean().item() == pytest.approx(0.25, abs=0.07)
    torch.testing.assert_close(y, torch.where(y == 0, 0.0, x / 0.75))


def test_alpha_dropout_keeps_the_moments_of_selu_and_drops_to_its_floor() -> None:
    x = normal(1000, 1000)
    y, _ = acted(x, AlphaDropout(rate=0.3))
    assert y.mean().item() == pytest.approx(0.0, abs=0.01)
    assert y.var().item() == pytest.approx(1.0, abs=0.01)
    dropped = y == y.flatten().mode().values
    floor = F.selu(torch.tensor(-100.0, dtype=torch.float64)).item()
    scale = (0.7 * (1 + 0.3 * floor**2)) ** -0.5
    torch.testing.assert_close(y, torch.where(dropped, floor, x) * scale - scale * 0.3 * floor)
    assert dropped.float().mean().item() == pytest.approx(0.3, abs=0.005)


@pytest.mark.parametrize("block", [1, 2, 3, 5])
def test_drop_block_drops_whole_squares_of_about_its_rate(block: int) -> None:
    y, _ = acted(torch.ones(IMAGES), DropBlock(rate=0.1, block_size=block))
    zeros = (y == 0).numpy()
    windows = np.lib.stride_tricks.sliding_window_view(zeros, (block, block), (2, 3)).all((4, 5))
    covered = np.zeros_like(zeros)
    for row in range(block):
        for column in range(block):
            covered[:, :, row : row + windows.shape[2], column : column + windows.shape[3]] |= windows
    assert (covered == zeros).all()
    assert zeros.mean() == pytest.approx(0.1, abs=0.015)
    assert y.mean().item() == pytest.approx(1.0, abs=1e-4)


def test_activity_is_a_mean_over_examples_and_its_gradient_that_of_autograd() -> None:
    x = normal(5, 7).requires_grad_()
    _, dropout = acted(x, Activity(l1=0.2, l2=0.3))
    taken = dropout.take_activity()
    assert taken is not None
    (gradient,) = torch.autograd.grad(taken, x)
    torch.testing.assert_close(taken, torch.stack([0.2 * row.abs().sum() + 0.3 * row @ row for row in x]).mean())
    torch.testing.assert_close(gradient, (0.2 * x.sign() + 0.6 * x).detach() / 5)
    assert dropout.take_activity() is None


def test_nothing_acts_in_evaluation() -> None:
    x = normal(4, 3, 8, 8)
    every = (Dropout(), SpatialDropout(), AlphaDropout(), DropPath(), DropBlock(), Activity())
    dropout = NamedDropout({"here": every}, "cpu").eval()
    assert dropout(x, "here") is x
    assert dropout.take_activity() is None


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network["type"])
def test_a_network_visits_every_place_of_its_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: dict[str, Any]
) -> None:
    visited: list[str] = []

    def visit(_self: NamedDropout, x: Tensor, place: str) -> Tensor:
        visited.append(place)
        return x

    monkeypatch.setattr(NamedDropout, "forward", visit)
    module, plan = built(tmp_path, network)
    module(pictures())
    spec = parse_spec({**SMALL_RUN, "network": network})
    assert {*dropout_places(spec.network), *branches(plan)} <= set(visited)


def test_the_rate_of_drop_path_rises_from_nothing_to_the_whole() -> None:
    words = {"network": {"type": "resnet", "depth": 20}, "regularization": [{"type": "drop_path", "rate": 0.4}]}
    network = build_network(*tiny(words))
    assert isinstance(network.dropout, NamedDropout)
    rates = [technique.rate for (technique,) in network.dropout.acting.values() if isinstance(technique, DropPath)]
    assert rates == pytest.approx(np.linspace(0, 0.4, 9))


def tiny(words: dict[str, Any]) -> tuple[Any, Task]:
    spec = parse_spec({**SMALL_RUN, "initialization": {"type": "kaiming_normal"}, **words})
    network = spec.network.model_copy(update={"width": 4, "stem": "small"})
    return spec.model_copy(update={"network": network}), Task("multiclass", ("a", "b"), 2, (1, 8, 8), 10, 0)


@pytest.mark.parametrize("network", [{"type": "resnet", "depth": 8}, {"type": "wide_resnet", "depth": 10}])
def test_by_default_blocks_are_dropped_in_the_last_two_stages(network: dict[str, Any]) -> None:
    words = {"network": network, "regularization": [{"type": "drop_block", "block_size": 3}]}
    built_network = build_network(*tiny(words))
    assert isinstance(built_network.dropout, NamedDropout)
    assert list(built_network.dropout.acting) == ["stages.1.0", "stages.2.0"]


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("channels", [1, 3, 4, 7, 12, 16])
def test_a_convolution_of_single_pixels_has_the_gradients_of_a_product(channels: int, stride: int) -> None:
    layer = Convolution(channels, 8, 1, stride, "valid", bias=True)
    x = normal(16, channels, 64, 64).contiguous(memory_format=torch.channels_last).requires_grad_()
    outputs = layer(x)
    upstream = normal(*outputs.shape)
    outputs.backward(upstream)
    seen, kernel = x.detach()[:, :, ::stride, ::stride], layer.weight.detach()[:, :, 0, 0]
    assert layer.weight.grad is not None
    assert layer.bias is not None
    assert x.grad is not None
    near = partial(torch.testing.assert_close, rtol=1e-4, atol=1e-3)
    bias = layer.bias.detach()[:, None, None]
    near(outputs, torch.einsum("eihw,oi->eohw", seen, kernel) + bias)
    near(layer.weight.grad[:, :, 0, 0], torch.einsum("eohw,eihw->oi", upstream, seen))
    near(x.grad[:, :, ::stride, ::stride], torch.einsum("eohw,oi->eihw", upstream, kernel))
    assert x.grad.count_nonzero() == upstream[:, :1].numel() * channels
