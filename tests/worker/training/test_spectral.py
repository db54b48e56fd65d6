"""Spectral normalization against PyTorch's own parametrization and SciPy's singular values."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.linalg import svdvals
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from models.spec import JobSpec, Task, parse_spec
from tests.worker.training.little import SMALL_RUN, bars, last_of, load, pack_images, run
from tests.worker.training.test_loop import interrupted, same_bits
from worker.training import CheckpointReady, EpochDone, read_checkpoint, save_checkpoint
from worker.training import run as run_module
from worker.training.network import build_network
from worker.training.spectral import SpectralNorms

TASK = Task("multiclass", ("a", "b"), 2, (3, 6, 6), 10, 0)
CNN = {"type": "cnn", "widths": [4], "head": [5], "pooling": "last"}
SPECTRAL = {"regularization": [{"type": "spectral_norm"}]}
WAYS: list[dict[str, Any]] = [
    {},
    {"averaging": {"type": "ema", "half_life": "3 steps"}},
    {"averaging": {"type": "swa", "start": "25%", "every": "2 steps"}},
    {"averaging": {"type": "lookahead", "k": 3}, "early_stopping": {"patience": 1, "min_delta": 0.1}},
    {"precision": "float16", "accumulate": 2},
]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_images(tmp_path_factory.mktemp("bars"), train=bars(90))


def spec_of(**technique: Any) -> JobSpec:
    words = {"initialization": {"type": "kaiming_normal"}, "loss": {"type": "cross_entropy"}, "network": CNN}
    return parse_spec({**SMALL_RUN, **words, "regularization": [{"type": "spectral_norm", **technique}]})


def parametrized(network: nn.Module, norms: SpectralNorms, iterations: int) -> None:
    """PyTorch's spectral norm on the same layers, from the same vectors."""
    for name in norms.kernels:
        layer = network.get_submodule(name)
        spectral_norm(layer, n_power_iterations=iterations)
        theirs = layer.get_submodule("parametrizations.weight.0")
        theirs.get_buffer("_u").copy_(norms.left[name])
        theirs.get_buffer("_v").copy_(norms.right[name])


@pytest.mark.parametrize("iterations", [1, 3])
def test_outputs_gradients_and_steps_are_pytorchs(iterations: int) -> None:
    spec = spec_of(iterations=iterations)
    ours, theirs = build_network(spec, TASK), build_network(spec, TASK)
    norms = SpectralNorms(spec, ours)
    parametrized(theirs, norms, iterations)
    theirs.train()
    optimizers = [torch.optim.SGD(network.parameters(), 0.1) for network in (ours, theirs)]
    for step in range(3):
        x = torch.randn(7, 3, 6, 6, generator=torch.Generator().manual_seed(step))
        for optimizer in optimizers:
            optimizer.zero_grad()
        expected = theirs(x)
        expected.square().sum().backward()
        with norms.trained():
            outputs = ours(x)
            outputs.square().sum().backward()
        torch.testing.assert_close(outputs, expected)
        for name, kernel in norms.kernels.items():
            original = theirs.get_parameter(f"{name}.parametrizations.weight.original")
            torch.testing.assert_close(kernel.grad, original.grad, rtol=1e-4, atol=1e-5)
        for optimizer in optimizers:
            optimizer.step()
    theirs.eval()
    with norms.divided(), torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))


def test_the_estimate_comes_to_the_largest_singular_value() -> None:
    norms = SpectralNorms(spec_of(), build_network(spec_of(), TASK))
    norms.iterate(300)
    for name, kernel in norms.kernels.items():
        assert norms.norm(name).item() == pytest.approx(svdvals(kernel.detach().flatten(1).numpy())[0], rel=1e-4)


def test_only_the_layers_that_are_named_are_normalized() -> None:
    spec = spec_of(target=["output"])
    network = build_network(spec, TASK)
    raw = {name: value.clone() for name, value in network.state_dict().items()}
    with SpectralNorms(spec, network).divided():
        changed = {name for name, value in network.state_dict().items() if not torch.equal(value, raw[name])}
    assert changed == {"output.weight"}
    assert all(torch.equal(value, raw[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("stop", [1, 7])
@pytest.mark.parametrize("way", WAYS)
def test_raw_kernels_and_vectors_are_taken_up_to_the_bit(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: dict[str, Any], stop: int
) -> None:
    monkeypatch.setattr(run_module, "FLUSH_STEPS", 1)
    words: dict[str, Any] = {**SPECTRAL, "network": CNN}
    words["training"] = {"epochs": 3, "batch_size": 16, **way}
    whole = last_of(run(packed, words))
    assert same_bits(whole, interrupted(packed, words, tmp_path, stop))
    assert not same_bits(whole, last_of(run(packed, {**words, "regularization": []})))


def test_it_goes_with_noise_and_sharpness_over_an_interruption(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "FLUSH_STEPS", 1)
    noise = {"type": "gaussian_noise", "on": "weights"}
    words = {"network": CNN, "regularization": [{"type": "spectral_norm"}, noise, {"type": "sam"}]}
    assert same_bits(last_of(run(packed, words)), interrupted(packed, words, tmp_path, 3))


def plain_loss(packed: Path, words: dict[str, Any], weights: dict[str, Tensor]) -> float:
    """The validation loss of a network that knows nothing of the technique, with the weights of a file."""
    spec, data = load(packed, {**words, "regularization": []})
    network = build_network(spec, data.task)
    network.load_state_dict(weights)
    begun = run_module.Run(spec, data, "cpu")
    assert data.validation is not None
    inputs, targets = begun.feed.evaluation_batch(data.validation, torch.arange(len(data.validation)))
    return nn.functional.cross_entropy(network.eval()(inputs), targets).item()


@pytest.mark.parametrize("way", WAYS[:4])
def test_saved_weights_are_those_of_a_plain_network_that_computes_what_was_evaluated(
    packed: Path, tmp_path: Path, way: dict[str, Any]
) -> None:
    words: dict[str, Any] = {**SPECTRAL, "network": {**CNN, "norm": "batch"}}
    words["training"] = {"epochs": 2, "batch_size": 16, **way}
    events = run(packed, {**words, "checkpoints": {"every": "1 epochs"}})
    losses = {event.epoch: event.metrics["validation/loss"] for event in events if isinstance(event, EpochDone)}
    saved = [event for event in events if isinstance(event, CheckpointReady)]
    assert {checkpoint.epoch for checkpoint in saved} == {1, 2}
    for checkpoint in saved:
        save_checkpoint(checkpoint, tmp_path / "weights", tmp_path / "state")
        weights = dict(read_checkpoint(tmp_path / "weights", tmp_path / "state").weights)
        evaluated = losses[int(checkpoint.metrics["epoch"])]
        assert plain_loss(packed, words, weights) == pytest.approx(evaluated, rel=1e-5)
        assert "spectral_norm" in json.dumps(checkpoint.weights_metadata)


def test_no_layer_stretches_anything_by_more_than_about_1(packed: Path) -> None:
    words = {"network": CNN, "regularization": [{"type": "spectral_norm", "iterations": 20}]}
    last = last_of(run(packed, {**words, "optimizer": {"type": "sgd", "learning_rate": 0.02}}))
    kernels = [value for value in last.weights.values() if value.dim() > 1]
    assert [svdvals(kernel.flatten(1).numpy())[0] for kernel in kernels] == pytest.approx([1.0] * 3, rel=0.02)
