from typing import Any

import pytest

from models.spec import estimate
from models.spec.images import Convnext, Vgg, Vit, WideResnet
from models.spec.layers import layers_of
from models.spec.network import Mlp, Network, Resnet
from tests.models.spec.manifests import images, vectors
from tests.models.spec.specs import ARTICLE_VECTORS, FASHION, spec

PUBLISHED = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808}
"""Parameters of torchvision's networks for 1,000 classes."""


@pytest.mark.parametrize("depth", PUBLISHED)
def test_a_residual_network_has_the_published_number_of_parameters(depth: int) -> None:
    layers = layers_of(Resnet(depth=depth), (3, 224, 224), 1000)
    assert sum(layer.parameters for layer in layers) == PUBLISHED[depth]


def test_the_small_residual_network_is_the_one_for_cifar() -> None:
    assert sum(layer.parameters for layer in layers_of(Resnet(), (3, 32, 32), 10)) == 272_474


@pytest.mark.parametrize(
    ("network", "side", "outputs", "parameters"),
    [
        (WideResnet(depth=28, widen_factor=10), 32, 10, 36_479_194),
        (Vgg(depth=16, norm="none", head="classic"), 224, 1000, 138_357_544),
        (Vgg(depth=19, norm="none", head="classic"), 224, 1000, 143_667_240),
        (Convnext(size="tiny"), 224, 1000, 28_589_128),
        (Convnext(size="base"), 224, 1000, 88_591_464),
        (Vit(), 224, 1000, 5_717_416),
        (Vit(width=768, heads=12), 224, 1000, 86_567_656),
    ],
)
def test_a_published_network_has_its_number_of_parameters(
    network: Network, side: int, outputs: int, parameters: int
) -> None:
    """Those of the papers' own code, torchvision and timm."""
    assert sum(layer.parameters for layer in layers_of(network, (3, side, side), outputs)) == parameters


@pytest.mark.parametrize(
    ("families", "parameters"),
    [
        (FASHION, 32 * 9 + 32 + 64 * 32 * 9 + 64 + 12 * 12 * 64 * 128 + 128 + 1290),
        ({}, 784 * 128 + 128 + 128 * 129 + 1290),
    ],
)
def test_parameters_are_weights_and_biases(families: dict[str, Any], parameters: int) -> None:
    assert estimate(spec(**families), images()).parameters == parameters


def test_a_batch_norm_replaces_the_bias() -> None:
    layers = layers_of(Mlp(hidden=(8,), norm="batch"), (4,), 2)
    assert [layer.parameters for layer in layers] == [32, 16, 0, 18]
    assert sum(layer.buffers for layer in layers) == 16


def test_a_step_takes_all_the_batches_that_it_accumulates() -> None:
    cost = estimate(spec(training={"epochs": 2, "batch_size": 64, "accumulate": 4}), vectors())
    assert cost.steps_per_epoch == estimate(spec(training={"epochs": 2, "batch_size": 256}), vectors()).steps_per_epoch


def test_averaged_weights_are_kept_beside_the_raw_ones() -> None:
    cost = estimate(spec(training={"epochs": 2, "averaging": {"type": "ema"}}), images())
    assert cost.checkpoint_bytes == 4 * 4 * cost.parameters


def test_raw_weights_are_kept_beside_those_that_are_normalized() -> None:
    cost = estimate(spec(regularization=[{"type": "spectral_norm"}]), images())
    assert cost.checkpoint_bytes == 4 * 4 * cost.parameters


def test_the_last_batch_of_an_epoch_may_be_smaller() -> None:
    cost = estimate(spec(**ARTICLE_VECTORS), vectors())
    assert (cost.steps_per_epoch, cost.steps) == (30, 600)


@pytest.mark.parametrize(
    ("optimizer", "copies"),
    [
        ({"type": "sgd"}, 1),
        ({"type": "sgd", "momentum": 0.9}, 2),
        ({"type": "adam"}, 3),
        ({"type": "rmsprop", "centered": True, "momentum": 0.5}, 4),
    ],
)
def test_a_checkpoint_holds_the_weights_and_the_optimizers_averages(optimizer: dict[str, Any], copies: int) -> None:
    cost = estimate(spec(optimizer=optimizer), images())
    assert cost.checkpoint_bytes == 4 * copies * cost.parameters


HIDDEN, FIRST, LAST = 128 * 128, 784 * 128, 128 * 10
VECTORS = 128 + 128 + 10


@pytest.mark.parametrize(
    ("optimizer", "numbers"),
    [
        ({"type": "lion"}, HIDDEN + FIRST + LAST + VECTORS),
        ({"type": "lamb"}, 2 * (HIDDEN + FIRST + LAST + VECTORS)),
        ({"type": "adafactor"}, 784 + 128 + 128 + 128 + 128 + 10 + VECTORS),
        ({"type": "muon"}, HIDDEN + 2 * (FIRST + LAST + VECTORS)),
        ({"type": "muon", "other": {"type": "sgd"}}, HIDDEN),
    ],
)
def test_an_optimizer_keeps_what_its_paper_says(optimizer: dict[str, Any], numbers: int) -> None:
    cost = estimate(spec(optimizer=optimizer), images())
    assert cost.checkpoint_bytes == 4 * (cost.parameters + numbers)


def test_sam_goes_through_each_batch_twice_and_sets_the_weights_aside() -> None:
    with_it, without = (estimate(spec(regularization=one), images()) for one in ([{"type": "sam"}], []))
    assert (with_it.passes, without.passes) == (2, 1)
    assert with_it.memory_bytes == without.memory_bytes + 2 * 4 * without.parameters


@pytest.mark.parametrize(
    ("examples", "kept"), [(100, 9 + 40 + 800), (10_000, 9 + 40 + 800), (200_000, 9 + 40 + 419.4304)]
)
def test_an_evaluation_keeps_its_outputs_and_ranks_some_at_a_time(examples: int, kept: float) -> None:
    validated, alone = (
        estimate(spec(dataset={"id": "ds_1", "validation": part}), images(test=examples))
        for part in ({"split": "test"}, None)
    )
    assert validated.memory_bytes - alone.memory_bytes == pytest.approx(kept * examples)


def test_an_evaluation_too_large_to_be_ranked_keeps_little() -> None:
    manifest = images(test=7_000_000)
    validated, alone = (
        estimate(spec(dataset={"id": "ds_1", "validation": part}), manifest) for part in ({"split": "test"}, None)
    )
    assert validated.memory_bytes - alone.memory_bytes == 9 * 7_000_000
