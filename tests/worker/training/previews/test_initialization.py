from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from tests.worker.training.little import bars, load, pack_images
from worker.training.network import build_network
from worker.training.previews import preview_initialization
from worker.training.randomness import permutation

DEEP = {"type": "mlp", "hidden": [64] * 12}
SIGMOIDS = {**DEEP, "activation": "sigmoid"}
RESNET = {"type": "resnet", "depth": 8, "width": 8}
VERDICTS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("healthy", {"type": "kaiming_normal"}, DEEP),
    ("vanishing", {"type": "normal", "std": 0.01}, DEEP),
    ("exploding", {"type": "normal", "std": 1.0}, DEEP),
    ("dead", {"type": "zeros"}, DEEP),
    ("dead", {"type": "kaiming_normal", "bias": {"type": "constant", "value": -50.0}}, DEEP),
    ("vanishing", {"type": "xavier_normal"}, SIGMOIDS),
    ("healthy", {"type": "kaiming_normal"}, RESNET),
    ("healthy", {"type": "kaiming_normal", "zero_residual": True}, RESNET),
    ("healthy", {"type": "default"}, {"type": "lstm", "width": 8}),
    ("healthy", {"type": "default"}, {"type": "vit", "width": 16, "depth": 1, "heads": 2, "patch": 4}),
]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_images(tmp_path_factory.mktemp("bars"), train=bars(128))


def shown(packed: Path, **words: Any) -> dict[str, Any]:
    return preview_initialization(*load(packed, words))


@pytest.mark.parametrize(("verdict", "start", "network"), VERDICTS)
def test_a_start_is_judged_as_the_textbooks_do(
    packed: Path, verdict: str, start: dict[str, Any], network: dict[str, Any]
) -> None:
    found = shown(packed, initialization=start, network=network, training={"steps": 1, "batch_size": 64})
    assert found["verdict"] == verdict, found
    assert (found["advice"] is None) == (verdict == "healthy")


def test_figures_are_those_of_pytorch(packed: Path) -> None:
    spec, data = load(packed, {"network": {"type": "mlp", "hidden": [16]}, "training": {"steps": 1, "batch_size": 32}})
    found = preview_initialization(spec, data)
    network = build_network(spec, data.task)
    hidden, output = network.get_submodule("hidden.0"), network.get_submodule("output")
    stored, targets = data.training.gather(permutation(spec.seed, 0, len(data.training))[:32])
    mean, std = data.normalization.mean[0], data.normalization.std[0]
    inputs = ((stored.float().flatten(1) / 255 - mean) / std).requires_grad_()
    before = F.linear(inputs, hidden.get_parameter("weight"), hidden.get_parameter("bias"))
    logits = F.linear(before.relu(), output.get_parameter("weight"), output.get_parameter("bias"))
    loss = F.cross_entropy(logits, targets)
    gradient, of_before = torch.autograd.grad(loss, [hidden.get_parameter("weight"), before])
    layer = found["layers"][0]
    assert found["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert layer["activation_std"] == pytest.approx(before.std(correction=0).item(), rel=1e-5)
    assert layer["gradient_norm"] == pytest.approx(gradient.norm().item(), rel=1e-5)
    assert layer["dead_share"] == pytest.approx((of_before == 0).all(0).float().mean().item())


def test_a_head_of_zeros_is_no_dead_network(packed: Path) -> None:
    start = {
        "type": "kaiming_normal",
        "overrides": [{"target": ["output"], "initialization": {"type": "zeros"}}],
    }
    assert shown(packed, initialization=start)["verdict"] == "healthy"
