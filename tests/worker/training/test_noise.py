"""Noise on inputs, weights and gradients: its spread, and what is left of it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import kstest

from models.spec import JobSpec, Task, parse_spec
from tests.worker.training.little import SMALL_RUN, bars, last_of, load, pack_images, run
from tests.worker.training.test_loop import interrupted, same_bits
from worker.training import run as run_module
from worker.training.network import build_network
from worker.training.noise import Noise
from worker.training.run import Run

TASK = Task("multiclass", ("a", "b"), 2, (40,), 10, 0)
PLACES = ["inputs", "weights", "gradients"]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_images(tmp_path_factory.mktemp("bars"), train=bars(90))


def spec_of(*techniques: dict[str, Any]) -> JobSpec:
    words = {"initialization": {"type": "kaiming_normal"}, "network": {"type": "mlp", "hidden": [200]}}
    noises = [{"type": "gaussian_noise", **technique} for technique in techniques]
    return parse_spec({**SMALL_RUN, **words, "regularization": noises})


@pytest.mark.parametrize("on", PLACES)
def test_noise_changes_the_run_and_an_interruption_does_not(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on: str
) -> None:
    monkeypatch.setattr(run_module, "FLUSH_STEPS", 1)
    words = {"regularization": [{"type": "gaussian_noise", "on": on}], "training": {"steps": 4, "batch_size": 16}}
    whole = last_of(run(packed, words))
    assert not same_bits(whole, last_of(run(packed, {**words, "regularization": []})))
    assert not same_bits(whole, last_of(run(packed, {**words, "seed": 1})))
    assert same_bits(whole, interrupted(packed, words, tmp_path, 2))


def test_noise_on_inputs_has_its_spread_and_evaluation_has_none(packed: Path) -> None:
    noisy, plain = (
        Run(*load(packed, {"regularization": techniques}), "cpu")
        for techniques in ([{"type": "gaussian_noise", "std": 0.3}, {"type": "gaussian_noise", "std": 0.4}], [])
    )
    part, positions = noisy.data.training, torch.arange(64)
    shown, expected = (begun.feed.training_batch(part, positions, 0, 3)[0] for begun in (noisy, plain))
    assert kstest((shown - expected).flatten().numpy() / 0.5, "norm").pvalue > 0.01
    evaluated = [begun.feed.evaluation_batch(part, positions)[0] for begun in (noisy, plain)]
    assert torch.equal(*evaluated)


def test_weights_are_noisy_where_the_gradient_is_taken_and_then_what_they_were() -> None:
    spec = spec_of({"on": "weights", "std": 0.3})
    network = build_network(spec, TASK)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    noise = Noise(spec, network)
    with noise.on_weights(5):
        assert torch.equal(network.get_parameter("hidden.0.bias"), before["hidden.0.bias"])
        first = (network.get_parameter("hidden.0.weight").detach() - before["hidden.0.weight"]).flatten()
    with noise.on_weights(6):
        second = (network.get_parameter("hidden.0.weight").detach() - before["hidden.0.weight"]).flatten()
    assert kstest(first.numpy() / 0.3, "norm").pvalue > 0.01
    assert abs(torch.corrcoef(torch.stack([first, second]))[0, 1]) < 0.05
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_step_is_made_from_the_plain_weights_by_the_gradient_at_the_noisy_ones(packed: Path) -> None:
    words: dict[str, Any] = {
        "optimizer": {"type": "sgd", "learning_rate": 0.1},
        "network": {"type": "mlp", "hidden": []},
        "regularization": [{"type": "gaussian_noise", "on": "weights", "std": 0.5}],
        "training": {"steps": 1, "batch_size": 16},
    }
    spec, data = load(packed, words)
    begun = Run(spec, data, "cpu")
    inputs, targets = begun.feed.training_batch(data.training, begun.order(0)[:16], 0, 0)
    weight, bias = begun.network.get_parameter("output.weight"), begun.network.get_parameter("output.bias")
    with begun.noise.on_weights(0):
        noisy = weight.detach().clone().requires_grad_()
    flat = inputs.permute(0, 2, 3, 1).flatten(1)
    loss = torch.nn.functional.cross_entropy(flat @ noisy.T + bias.detach(), targets)
    [gradient] = torch.autograd.grad(loss, noisy)
    after = last_of(run(packed, words)).weights["output.weight"]
    torch.testing.assert_close(after, weight.detach() - 0.1 * gradient)


@pytest.mark.parametrize(("decay", "step"), [(0.0, 0), (0.0, 99), (0.55, 0), (0.55, 99)])
def test_noise_on_gradients_calms_down_as_neelakantan_has_it(decay: float, step: int) -> None:
    spec = spec_of({"on": "gradients", "std": 0.2, "decay": decay})
    gradients = [torch.zeros(200, 40), torch.zeros(2000)]
    Noise(spec, build_network(spec, TASK)).add_to(gradients, step)
    variance = 0.2**2 / (1 + step) ** decay
    for gradient in gradients:
        assert kstest(gradient.flatten().numpy() / variance**0.5, "norm").pvalue > 0.01


def test_a_frozen_layer_gets_no_noise() -> None:
    spec = spec_of({"on": "weights", "std": 0.3})
    network = build_network(spec, TASK)
    frozen = network.get_parameter("hidden.0.weight").requires_grad_(False)
    before = frozen.clone()
    with Noise(spec, network).on_weights(0):
        assert torch.equal(frozen, before)
