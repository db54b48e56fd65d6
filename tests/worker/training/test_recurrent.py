"""Recurrent networks against PyTorch's own modules, and the behaviour that clipping was made for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.spec.initialization import Orthogonal
from models.spec.sequences import Gru, Lstm, Rnn
from models.spec.task import Task
from tests.worker.training.little import bars, last_of, pack_images, pack_vectors, run
from worker.training import Resume
from worker.training.dropout import NamedDropout
from worker.training.encoder import waves
from worker.training.events import CheckpointReady, Diverged
from worker.training.initialization import initialize_layer
from worker.training.layers import Dense
from worker.training.recurrent import RecurrentSequence

DIGITS = Path(__file__).parents[3] / "local" / "digits.npz"
CELLS = [Rnn, Lstm, Gru]


def sequence(spec: Rnn | Lstm | Gru, features: int = 12) -> RecurrentSequence:
    torch.manual_seed(0)
    task = Task("multiclass", ("a", "b"), 2, (features,), 8, 0)
    return RecurrentSequence(spec, task, NamedDropout({}, "cpu"))


def reference(network: RecurrentSequence, module: nn.RNNBase) -> nn.RNNBase:
    """PyTorch's module with the same weights."""
    weights = [weight for layer in network.layers for weight in layer.weights()]  # type: ignore[operator]
    order = [name for names in module._all_weights for name in names]
    module.load_state_dict(dict(zip(order, weights, strict=True)))
    return module


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_the_output_layer_sees_the_last_state_of_every_direction(
    cell: type[Rnn | Lstm | Gru], bidirectional: bool
) -> None:
    network = sequence(cell(width=5, layers=2, bidirectional=bidirectional, sequence_length=4))
    kinds: dict[type, Any] = {Rnn: nn.RNN, Lstm: nn.LSTM, Gru: nn.GRU}
    module = reference(network, kinds[cell](3, 5, 2, batch_first=True, bidirectional=bidirectional))
    x = torch.randn(6, 12)
    _, states = module(x.view(6, 4, 3))
    last = (states[0] if cell is Lstm else states)[-2 if bidirectional else -1 :]
    expected = network.output(last.transpose(0, 1).flatten(1))
    torch.testing.assert_close(network(x), expected)


def test_an_image_is_read_row_by_row() -> None:
    seen: list[Tensor] = []
    network = sequence(Rnn(width=3, sequence_length=2), features=12)
    network.layers[0].register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    image = torch.arange(12.0).view(1, 2, 2, 3)
    network(image)
    assert seen[0].tolist() == [[[0, 6, 1, 7, 2, 8], [3, 9, 4, 10, 5, 11]]]


def test_every_gate_starts_as_a_matrix_of_its_own() -> None:
    layer = Dense(16, 64, parts=4)
    with torch.no_grad():
        initialize_layer(layer, Orthogonal(), 0, "recurrent")
    for gate in layer.weight.chunk(4):
        torch.testing.assert_close(gate @ gate.T, torch.eye(16))


def test_sinusoidal_positions_are_those_of_the_paper() -> None:
    found = waves(torch.empty(1, 50, 6)).double()
    expected = [
        [(np.sin if i % 2 == 0 else np.cos)(t / 10000 ** ((i - i % 2) / 6)) for i in range(6)] for t in range(50)
    ]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), atol=1e-5, rtol=0.0)


def digits(folder: Path) -> Path:
    with np.load(DIGITS) as arrays:
        images, classes = arrays[arrays.files[0]], arrays[arrays.files[1]]
    return pack_vectors(folder, images.reshape(len(images), 64), classes.astype(np.int64), tuple("0123456789"))


WORDS: dict[str, Any] = {
    "network": {"type": "rnn", "width": 128, "activation": "relu", "sequence_length": 8},
    "initialization": {"type": "kaiming_normal"},
    "optimizer": {"type": "sgd", "learning_rate": 0.1, "momentum": 0.9},
    "training": {"epochs": 5, "batch_size": 32},
}


def test_a_relu_rnn_diverges_unless_it_is_clipped(tmp_path: Path) -> None:
    packed = digits(tmp_path)
    with pytest.raises(Diverged):
        run(packed, WORDS)
    clipped = run(packed, {**WORDS, "clipping": {"type": "global_norm", "max_norm": 1.0}})
    assert last_of(clipped).metrics["validation/accuracy"] > 0.6


@pytest.mark.parametrize(
    "network",
    [
        {"type": "wide_resnet", "depth": 10, "widen_factor": 1},
        {"type": "convnext", "depths": [1, 1], "widths": [8, 8], "stem": "small"},
        {"type": "vit", "patch": 4, "width": 16, "depth": 1, "heads": 2},
        {"type": "lstm", "width": 8, "bidirectional": True},
        {"type": "transformer", "width": 8, "depth": 1, "heads": 2},
    ],
    ids=lambda network: network["type"],
)
def test_a_run_goes_on_to_the_same_bits(tmp_path: Path, network: dict[str, Any]) -> None:
    words = {"network": network, "regularization": [{"type": "dropout", "rate": 0.2}]}
    words["checkpoints"] = {"every": "2 steps"}
    packed = pack_images(tmp_path, train=bars(64))
    events = run(packed, words)
    early = next(event for event in events if isinstance(event, CheckpointReady))
    resumed = run(packed, words, Resume(early.weights, early.state))
    expected = last_of(events).weights
    assert all(torch.equal(value, expected[name]) for name, value in last_of(resumed).weights.items())
