"""Multi-hot inputs as lists: the sums and gradients of the dense layer they stand for, and when they are made."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.worker.training.little import last_of, load, pack_vectors, run
from worker.training import CheckpointReady, EpochDone, read_checkpoint, save_checkpoint, train
from worker.training import run as running
from worker.training.column_sums import PLACES, summed
from worker.training.data import Part
from worker.training.listed import listed, lists_of

FEATURES = 200


def rows_of(examples: int = 64, ones: int = 5) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The first row has no 1 at all; the others have up to so many."""
    chance = np.random.default_rng(0)
    rows = np.zeros((examples, FEATURES), np.uint8)
    rows[np.arange(examples)[:, None], chance.integers(0, FEATURES, (examples, ones))] = 1
    rows[0] = 0
    return rows


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    rows = rows_of()
    return pack_vectors(tmp_path, rows, (rows[:, :100].sum(1) > 2).astype(np.int64), ("no", "yes"))


WORDS: dict[str, Any] = {
    "network": {"type": "sequential", "layers": [{"type": "dense", "units": 6, "activation": "relu"},
                                                 {"type": "dropout", "rate": 0.5}, {"type": "dense", "units": 1}]},
    "loss": {"type": "binary_cross_entropy"},
}  # fmt: skip


def test_a_list_sums_what_the_dense_layer_multiplies_and_its_gradient_is_that_one_s() -> None:
    rows = torch.from_numpy(rows_of())
    lists = lists_of(Part(rows, torch.zeros(len(rows))))
    assert lists is not None
    weight, bias = torch.randn(6, FEATURES, requires_grad=True), torch.randn(6)
    upstream = torch.randn(len(rows), 6)
    expected = F.linear(rows.double(), weight.double(), bias.double())
    expected_gradient = torch.autograd.grad(expected, weight, upstream.double())[0]
    sums = summed(lists, weight, bias)
    assert torch.allclose(sums.double(), expected, atol=1e-6)
    assert torch.allclose(
        torch.autograd.grad(sums, weight, upstream)[0].double(), expected_gradient.double(), atol=1e-5
    )


@pytest.mark.parametrize("features", [1_000, 70_000], ids=["by radix", "more than 16 bits hold"])
@pytest.mark.parametrize("longest", [9, 300], ids=["nearly full", "mostly filling"])
def test_the_sums_do_not_depend_on_what_fills_the_lists_up(features: int, longest: int) -> None:
    chance = torch.Generator().manual_seed(0)
    counts = torch.randint(0, 9, (50,), generator=chance)
    lists = torch.full((50, longest), features, dtype=PLACES)
    for one, count in zip(lists, counts.tolist(), strict=True):
        one[:count] = torch.randperm(features, generator=chance)[:count].sort().values
    weight = torch.randn(6, features, generator=chance, requires_grad=True)
    upstream = torch.randn(50, 6, generator=chance)
    rows = torch.zeros(50, features + 1).scatter_(1, lists.long(), 1.0)[:, :-1]
    expected = rows @ weight.T
    sums = summed(lists, weight, None)
    torch.testing.assert_close(sums, expected)
    gradient, wanted = (torch.autograd.grad(one, weight, upstream)[0] for one in (sums, expected))
    torch.testing.assert_close(gradient, wanted)


def test_lists_hold_the_places_of_the_ones_of_the_part_s_own_rows() -> None:
    rows = torch.from_numpy(rows_of())
    own = torch.tensor([5, 0, 9])
    lists = lists_of(Part(rows, torch.zeros(len(rows)), own))
    assert lists is not None
    for found, row in zip(lists, rows[own], strict=True):
        assert found[found < FEATURES].tolist() == row.nonzero().flatten().tolist()


@pytest.mark.parametrize(
    "rows",
    [rows_of() * 2, rows_of(ones=60), rows_of().astype(np.float32)],
    ids=["with a 2", "dense", "not bytes"],
)
def test_others_stay_rows(rows: np.ndarray[Any, Any]) -> None:
    assert lists_of(Part(torch.from_numpy(rows), torch.zeros(len(rows)))) is None


@pytest.mark.parametrize(
    "words",
    [
        {"augmentation": [{"type": "feature_dropout", "rate": 0.1}]},
        {"regularization": [{"type": "gaussian_noise", "on": "inputs", "std": 0.1}]},
        {"network": {"type": "sequential", "layers": [{"type": "layer_norm"}, {"type": "dense", "units": 1}]}},
        {"training": {"epochs": 1, "compile": True}},
    ],
    ids=["perturbed", "noisy", "normalized", "compiled"],
)
def test_inputs_that_something_changes_stay_rows(packed: Path, words: dict[str, Any]) -> None:
    spec, data = load(packed, {**WORDS, **words})
    assert listed(data, spec, "cpu") is data


@pytest.mark.parametrize(
    "words",
    [
        {"optimizer": {"type": "rmsprop", "momentum": 0.5}, "regularization": [{"type": "l1"}, {"type": "l2"}]},
        {"optimizer": {"type": "muon"}, "regularization": [{"type": "orthogonality"}, {"type": "max_norm"}]},
        {"optimizer": {"type": "adam"}, "regularization": [{"type": "spectral_norm"}]},
        {"training": {"epochs": 2, "replicas": 2, "averaging": {"type": "ema"}}, "clipping": {"type": "adaptive"}},
        {"initialization": {"type": "lsuv"}},
        {"regularization": [{"type": "gaussian_noise", "on": "weights", "std": 0.01}]},
    ],
    ids=["rmsprop", "muon", "spectral norm", "replicas", "lsuv", "noise"],
)
def test_a_run_on_lists_is_the_run_on_rows_but_for_rounding(
    packed: Path, monkeypatch: pytest.MonkeyPatch, words: dict[str, Any]
) -> None:
    spec, data = load(packed, {**WORDS, **words})
    assert listed(data, spec, "cpu").training.inputs.dtype == PLACES
    on_lists = list(train(spec, data))
    monkeypatch.setattr(running, "listed", lambda data, *_: data)
    on_rows = list(train(spec, data))
    for ours, theirs in zip(on_lists, on_rows, strict=True):
        if isinstance(ours, EpochDone) and isinstance(theirs, EpochDone):
            assert ours.metrics == pytest.approx(theirs.metrics, abs=1e-5)
    for name, value in last_of(on_lists).weights.items():
        assert torch.allclose(value, last_of(on_rows).weights[name], atol=1e-6)


def test_a_run_on_lists_goes_on_with_the_same_bits(packed: Path, tmp_path: Path) -> None:
    whole = run(packed, WORDS)
    first = next(event for event in whole if isinstance(event, CheckpointReady))
    save_checkpoint(first, tmp_path / "weights", tmp_path / "state")
    rest = run(packed, WORDS, read_checkpoint(tmp_path / "weights", tmp_path / "state"))
    for name, value in last_of(whole).weights.items():
        assert torch.equal(value, last_of(rest).weights[name])
