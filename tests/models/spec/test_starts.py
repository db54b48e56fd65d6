"""Starts that cannot be, and what they are told."""

from typing import Any

import pytest

from tests.models.spec.manifests import images, vectors
from tests.models.spec.specs import conflicts, errors_of, raw, warnings

ZEROS = {"type": "zeros"}
RESNET = {"type": "resnet", "depth": 8}
VIT = {"type": "vit", "depth": 1, "width": 32, "heads": 2}


def overriding(*targets: Any) -> dict[str, Any]:
    overrides = [{"target": target, "initialization": ZEROS} for target in targets]
    return {"type": "kaiming_normal", "overrides": overrides}


@pytest.mark.parametrize(
    ("network", "target", "pointer", "suggestion"),
    [
        (RESNET, ["outputs"], "target/0", "output"),
        (RESNET, ["stages.0", "stages.9"], "target/1", None),
        (RESNET, ["stages.0.0.norm1"], "target/0", None),
        ({"type": "mlp"}, "conv", "target", None),
    ],
)
def test_an_override_that_means_nothing_says_what_there_is(
    network: dict[str, Any], target: Any, pointer: str, suggestion: str | None
) -> None:
    [(where, error)] = conflicts(images(), network=network, initialization=overriding(target)).items()
    assert where == f"/initialization/overrides/0/{pointer}"
    assert error.code == "unknown_layer"
    assert error.suggestion == suggestion or suggestion is None
    assert "output" in (error.allowed or ()) or error.allowed == ["dense"]


def test_an_override_that_a_later_one_replaces_is_refused() -> None:
    found = conflicts(images(), network=RESNET, initialization=overriding(["output"], "dense"))
    assert found["/initialization/overrides/0"].code == "never_acts"
    assert not conflicts(images(), network=RESNET, initialization=overriding("dense", "conv"))


def test_what_is_for_the_whole_network_is_refused_in_one_layer() -> None:
    layer = {"type": "dense", "units": 2, "initialization": {"type": "zeros", "zero_residual": True}}
    [error] = errors_of(raw(network={"type": "sequential", "layers": [layer]}))
    assert (error.pointer, error.code) == ("/network/layers/0/initialization", "not_here")
    nested = {"type": "ones", "overrides": [{"target": "dense", "initialization": overriding("conv")}]}
    [error] = errors_of(raw(initialization=nested))
    assert (error.pointer, error.code) == ("/initialization/overrides/0/initialization", "not_here")


def test_zero_residual_needs_residual_branches() -> None:
    start = {"type": "kaiming_normal", "zero_residual": True}
    assert conflicts(images(), initialization=start)["/initialization/zero_residual"].code == "no_place"
    assert not conflicts(images(), initialization=start, network=VIT)


def test_lsuv_needs_layers_with_outputs_of_their_own() -> None:
    lstm = {"type": "lstm", "width": 8, "sequence_length": 100}
    found = conflicts(vectors(), network=lstm, initialization={"type": "lsuv"})
    assert found["/initialization"].code == "network_does_not_fit"
    override = {"target": "recurrent", "initialization": {"type": "orthogonal"}}
    assert not conflicts(vectors(), network=lstm, initialization={"type": "lsuv", "overrides": [override]})


ZERO_STARTS: list[dict[str, Any]] = [
    {"initialization": ZEROS},
    {"initialization": {"type": "constant", "value": 0.0}},
    {"initialization": overriding(["output"])},
    {"initialization": {"type": "kaiming_normal", "zero_residual": True}, "network": VIT},
    {"initialization": {"type": "kaiming_normal", "zero_residual": True}, "network": {"type": "wide_resnet"}},
]


@pytest.mark.parametrize("words", ZERO_STARTS)
def test_a_kernel_of_zeros_has_no_spectral_norm(words: dict[str, Any]) -> None:
    found = conflicts(images(), regularization=[{"type": "spectral_norm"}], **words)
    assert found["/regularization/0"].code == "all_zero"
    start = {"type": "kaiming_normal", "zero_residual": True}
    assert not conflicts(images(), regularization=[{"type": "spectral_norm"}], network=RESNET, initialization=start)


def test_spectral_norm_takes_away_what_lsuv_scales_and_is_named_once() -> None:
    twice = [{"type": "spectral_norm"}, {"type": "spectral_norm", "target": ["output"]}]
    found = conflicts(images(), regularization=twice, initialization={"type": "lsuv"})
    assert {pointer: error.code for pointer, error in found.items()} == {
        "/initialization": "never_acts",
        "/regularization/1": "named_twice",
    }


def test_only_noise_on_gradients_has_a_decay() -> None:
    [error] = errors_of(raw(regularization=[{"type": "gaussian_noise", "on": "weights", "decay": 0.55}]))
    assert (error.pointer, error.code) == ("/regularization/0", "decay")


def test_a_start_that_is_overridden_everywhere_is_warned_about() -> None:
    assert "never_acts" in warnings(images(), network=RESNET, initialization=overriding("dense", "conv"))
    assert "never_acts" not in warnings(images(), network=RESNET, initialization=overriding("dense"))


@pytest.mark.parametrize(("sparsity", "warned"), [(0.9, True), (0.5, False)])
def test_a_sparse_start_that_leaves_nothing_is_warned_about(sparsity: float, warned: bool) -> None:
    start = {"type": "sparse", "sparsity": sparsity}
    small = {"type": "mlp", "hidden": [100, 5]}
    assert ("starts_at_0" in warnings(images(), network=small, initialization=start)) == warned


def test_a_slope_that_nothing_looks_at_is_refused() -> None:
    [error] = errors_of(raw(initialization={"type": "he_normal", "negative_slope": 0.2}))
    assert (error.pointer, error.code) == ("/initialization", "negative_slope")
    assert not errors_of(raw(initialization={"type": "he_normal", "negative_slope": 0.2, "nonlinearity": "leaky_relu"}))
