"""A compiled network computes what the network does, but for rounding, and the same bits each time."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.backends.debugging import aot_eager
from torch._dynamo.exc import TorchDynamoException

from models.spec.network import Cnn, Mlp, Resnet
from models.spec.sequences import RecurrentNetwork, Transformer
from tests.worker.training.little import bars, last_of, load, pack_images, run
from tests.worker.training.test_loop import EVERYTHING, interrupted, same_bits
from tests.worker.training.test_network import NETWORKS, built, pictures, spec_of
from worker.training import Warned
from worker.training.compilation import compiled
from worker.training.foreseen import foreseen
from worker.training.run import Run

needs_a_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
PLAIN: dict[str, Any] = {**EVERYTHING, "network": {"type": "mlp", "hidden": [9, 8], "norm": "batch"}}
PLAIN["training"] = {"epochs": 2, "batch_size": 16, "replicas": 2}
WORDS: dict[str, Any] = {**PLAIN, "training": {**PLAIN["training"], "compile": True}}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_images(tmp_path_factory.mktemp("bars"), train=bars(90), test=bars(30, seed=1))


@pytest.fixture(autouse=True)
def compiler(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """That of a trainer, which has compiled nothing yet in its life, and keeps what it compiles for the next one."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "torchinductor"))
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


KINDS = {type(spec_of(network).network): network for network in reversed(NETWORKS)}
KINDS[Resnet] = {"type": "resnet", "depth": 8, "width": 4}
"""One network of each, a small one."""


def gradients(network: Any, forward: Any, inputs: Tensor) -> list[Tensor]:
    network.zero_grad()
    network.dropout.generator.manual_seed(0)
    network.dropout.tally.clear()
    outputs = forward(inputs)
    outputs.square().mean().backward()
    return [outputs, *(parameter.grad for parameter in network.parameters() if parameter.grad is not None)]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not issubclass(kind, RecurrentNetwork)])
def test_the_pass_of_every_network_is_one_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    passes_are_whole(tmp_path, monkeypatch, KINDS[kind], [])


@pytest.mark.parametrize(
    ("kind", "technique"),
    [
        (Mlp, {"type": "dropout"}),
        (Mlp, {"type": "alpha_dropout", "rate": 0.2}),
        (Cnn, {"type": "spatial_dropout"}),
        (Cnn, {"type": "drop_block", "block_size": 2}),
        (Resnet, {"type": "drop_path", "rate": 0.5}),
        (Transformer, {"type": "drop_path", "rate": 0.5}),
    ],
)
def test_what_acts_between_the_layers_leaves_it_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type, technique: dict[str, Any]
) -> None:
    passes_are_whole(tmp_path, monkeypatch, KINDS[kind], [technique])


def passes_are_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch, network: dict[str, Any], regularization: list[dict[str, Any]]
) -> None:
    """As PyTorch takes it down, before kernels are written for it: so the bits are the same, and what is counted."""
    graphs: list[Any] = []

    def take_down(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return aot_eager(graph, inputs)

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=take_down))
    module: Any = built(folder, network, regularization=regularization)[0]
    assert bool(module.dropout.acting) >= bool(regularization)
    forward = compiled(module, module.dropout)
    for forms, examples in enumerate((3, 2, 3), start=1):
        inputs = pictures(examples).to(memory_format=torch.channels_last)
        expected, counts = gradients(module.train(), module, inputs), module.dropout.tally.read()
        assert all(map(torch.equal, gradients(module, forward, inputs), expected))
        assert module.dropout.tally.read() == counts
        assert len(graphs) == min(forms, 2), "one for each form"


@pytest.mark.chaos
@needs_a_compiler
def test_a_compiled_run_is_the_run_but_for_rounding(packed: Path) -> None:
    plain, of_kernels = last_of(run(packed, PLAIN)), last_of(run(packed, WORDS))
    assert plain.metrics == pytest.approx(dict(of_kernels.metrics), rel=1e-4)
    for name, weights in plain.weights.items():
        torch.testing.assert_close(of_kernels.weights[name], weights, rtol=1e-4, atol=1e-6)


@pytest.mark.chaos
@needs_a_compiler
def test_an_interrupted_run_ends_with_the_same_bits(packed: Path, tmp_path: Path) -> None:
    assert same_bits(last_of(run(packed, WORDS)), interrupted(packed, WORDS, tmp_path, 3, 7))


def test_a_worker_without_a_compiler_says_so(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own, which has looked for none before."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        assert "No working C++ compiler" in process.submit(why_not, packed).result()


def why_not(packed: Path) -> str:
    try:
        run(packed, WORDS)
    except TorchDynamoException as error:
        return str(error)
    return ""


def test_on_a_processor_it_is_warned_about(packed: Path) -> None:
    said = [list(foreseen(Run(*load(packed, words), "cpu"))) for words in (PLAIN, WORDS)]
    assert [[one.code for one in of if isinstance(one, Warned)] for of in said] == [[], ["compiled_on_a_processor"]]
