"""Variances of every start against its formula, with fans that tell outputs from inputs."""

import math
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from scipy.stats import kstest, truncnorm
from torch import nn

from models.spec.initialization import Initialization
from worker.training.initialization import fans, initialize
from worker.training.layers import BatchNorm, Convolution, Dense

START: TypeAdapter[Any] = TypeAdapter(Initialization)


def started(layer: nn.Module, seed: int = 0, **words: Any) -> Any:
    network = nn.Sequential(layer)
    initialize(network, START.validate_python(words), seed)
    return layer


SPREADS = [
    ({"type": "xavier_normal"}, 2 / (10_000 + 16)),
    ({"type": "xavier_uniform", "gain": 2.0}, 4 * 2 / (10_000 + 16)),
    ({"type": "xavier_normal", "mode": "fan_in"}, 1 / 10_000),
    ({"type": "kaiming_normal"}, 2 / 10_000),
    ({"type": "he_normal", "mode": "fan_out"}, 2 / 16),
    ({"type": "kaiming_uniform", "nonlinearity": "leaky_relu", "negative_slope": 1.0}, 1 / 10_000),
    ({"type": "kaiming_normal", "nonlinearity": "tanh"}, (5 / 3) ** 2 / 10_000),
    ({"type": "uniform", "low": 0.0, "high": 0.01}, 0.01**2 / 12),
    ({"type": "normal", "std": 0.3}, 0.09),
    ({"type": "default"}, 1 / (3 * 10_000)),
    ({"type": "orthogonal"}, 1 / 10_000),
    ({"type": "truncated_normal", "std": 0.1}, 0.1**2 * truncnorm(-2, 2).var()),
    ({"type": "lecun_normal"}, 1 / 10_000),
    ({"type": "lecun_uniform"}, 1 / 10_000),
    ({"type": "variance_scaling", "scale": 3.0, "mode": "fan_out", "distribution": "normal"}, 3 / 16),
    ({"type": "variance_scaling", "scale": 2.0, "mode": "fan_avg"}, 2 / 5008),
    ({"type": "variance_scaling", "distribution": "uniform"}, 1 / 10_000),
    ({"type": "delta_orthogonal", "gain": 2.0}, 4 / 10_000),
    ({"type": "sparse", "sparsity": 0.75, "std": 0.1}, 0.1**2 / 4),
    ({"type": "lsuv"}, 1 / 10_000),
]


@pytest.mark.parametrize(
    ("words", "variance"), SPREADS, ids=lambda value: value["type"] if isinstance(value, dict) else ""
)
def test_a_layer_of_10000_inputs_and_16_units_has_the_variance_of_the_formula(
    words: dict[str, Any], variance: float
) -> None:
    layer = started(Dense(10_000, 16), **words)
    assert layer.weight.var().item() == pytest.approx(variance, rel=0.03)


def test_the_plain_random_start_is_positive_with_a_mean_of_half_its_width() -> None:
    layer = started(Dense(1000, 100), type="uniform", low=0.0, high=0.01)
    assert 0 <= layer.weight.min() < layer.weight.max() < 0.01
    assert layer.weight.mean().item() == pytest.approx(0.005, rel=0.01)


def test_fans_of_a_convolution_count_its_kernel() -> None:
    assert fans(Convolution(8, 32, 3).weight) == (8 * 9, 32 * 9)


@pytest.mark.parametrize(
    ("words", "value"), [({"type": "zeros"}, 0.0), ({"type": "ones"}, 1.0), ({"type": "constant", "value": 3.0}, 3.0)]
)
def test_constant_starts(words: dict[str, Any], value: float) -> None:
    assert (started(Dense(3, 4), **words).weight == value).all()


def test_orthogonal_rows_are_orthonormal() -> None:
    weight = started(Convolution(4, 8, 3), type="orthogonal").weight.flatten(1)
    torch.testing.assert_close(weight @ weight.T, torch.eye(8))


@pytest.mark.parametrize(
    ("words", "spread"),
    [({"type": "truncated_normal", "std": 0.3}, 0.3), ({"type": "lecun_normal"}, 0.01 / truncnorm(-2, 2).std())],
)
def test_a_cut_normal_is_scipys(words: dict[str, Any], spread: float) -> None:
    weight = started(Dense(10_000, 16), **words).weight.detach().numpy().ravel()
    assert kstest(weight, truncnorm(-2, 2, scale=spread).cdf).pvalue > 0.01


def test_delta_orthogonal_is_orthogonal_at_the_centre_and_0_elsewhere() -> None:
    weight = started(Convolution(4, 6, 3), type="delta_orthogonal", gain=2.0).weight.detach().clone()
    torch.testing.assert_close(weight[:, :, 1, 1].T @ weight[:, :, 1, 1], 4 * torch.eye(4))
    weight[:, :, 1, 1] = 0
    assert (weight == 0).all()


@pytest.mark.parametrize("kind", ["identity", "dirac"])
@pytest.mark.parametrize("layer", [Convolution(3, 5, 3), Convolution(5, 3, 3, bias=True)], ids=["wider", "narrower"])
def test_a_convolution_that_is_the_identity_is_pytorchs_dirac(kind: str, layer: Convolution) -> None:
    expected = nn.init.dirac_(torch.empty_like(layer.weight))
    assert torch.equal(started(layer, type=kind).weight, expected)


def test_a_dense_layer_that_is_the_identity_gives_what_it_gets_times_gain() -> None:
    assert torch.equal(started(Dense(3, 5), type="identity", gain=2.0).weight, 2 * nn.init.eye_(torch.empty(5, 3)))
    assert torch.equal(started(Dense(3, 3), type="dirac").weight, torch.eye(3))


def test_sparse_leaves_each_input_its_share_of_weights() -> None:
    weight = started(Dense(50, 10), type="sparse", sparsity=0.75).weight
    assert ((weight == 0).sum(0) == 8).all()


def test_biases_start_as_said_and_norms_as_the_identity() -> None:
    layer = started(Dense(5, 4, norm=BatchNorm(4)), type="kaiming_normal", bias={"type": "constant", "value": 2.0})
    assert (layer.bias == 2).all()
    assert (layer.norm.weight == 1).all()
    assert (layer.norm.bias == 0).all()
    assert (layer.norm.running_var == 1).all()


def test_the_frameworks_own_start_spreads_biases_too() -> None:
    bias = started(Dense(100, 10_000), type="default").bias
    assert bias.abs().max().item() == pytest.approx(1 / math.sqrt(100), rel=0.01)


def test_adding_a_layer_does_not_change_the_others() -> None:
    start = START.validate_python({"type": "kaiming_normal"})
    short = nn.ModuleDict({"a": Dense(5, 4)})
    long = nn.ModuleDict({"b": Dense(5, 4), "a": Dense(5, 4)})
    initialize(short, start, 7)
    initialize(long, start, 7)
    a, b = long.get_parameter("a.weight"), long.get_parameter("b.weight")
    assert torch.equal(short.get_parameter("a.weight"), a)
    assert not torch.equal(a, b)
