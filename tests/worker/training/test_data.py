"""What a job sees of a packed data set."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from models.spec.manifest import CategoricalColumn, NumericColumn
from tests.worker.training.little import bars, load, pack_images, pack_table, pack_vectors, run
from worker.training import EpochDone, Started, Warned
from worker.training.data import held_back, spread
from worker.training.inputs import Feed
from worker.training.run import RESIDENT_SHARE, resident
from worker.training.schedule import Clock

MISSING = float("nan")
COLUMNS = (
    NumericColumn(name="size", missing=1, mean=2.0, std=1.0, minimum=1.0, maximum=3.0, distinct=None),
    CategoricalColumn(name="colour", missing=1, categories=("blue", "red")),
    NumericColumn(name="grade", missing=0, mean=5.0, std=1.0, minimum=3.0, maximum=8.0, distinct=(3.0, 5.0, 8.0)),
)
ROWS = np.array([[1.0, 0, 3], [2.0, 1, 5], [MISSING, MISSING, 8], [3.0, 1, 5]])


def no_validation(**words: Any) -> dict[str, Any]:
    return {"dataset": {"id": "x", **words}}


@pytest.mark.parametrize(("examples", "count"), [(100, 10), (97, 13), (10, 9)])
def test_a_fraction_holds_back_the_same_share_of_every_class(examples: int, count: int) -> None:
    classes = torch.arange(examples) % 3
    held = held_back(examples, classes, count, seed=1)
    assert len(held) == len(set(held.tolist())) == count
    shares = torch.bincount(classes[held], minlength=3) - torch.bincount(classes, minlength=3) * count / examples
    assert shares.abs().max() < 1
    assert torch.equal(held, held_back(examples, classes, count, seed=1))
    assert not torch.equal(held, held_back(examples, classes, count, seed=2)) or count == examples - 1


def test_training_and_validation_share_no_example(tmp_path: Path) -> None:
    _, data = load(pack_images(tmp_path, train=bars(40)), {})
    assert data.training.rows is not None
    assert data.validation is not None
    assert data.validation.rows is not None
    both = torch.cat([data.training.rows, data.validation.rows])
    assert both.sort().values.tolist() == list(range(40))


def test_a_named_split_is_evaluated_whole(tmp_path: Path) -> None:
    packed = pack_images(tmp_path, train=bars(40), test=bars(10))
    _, data = load(packed, {"dataset": {"id": "x", "validation": {"split": "test"}}})
    assert (len(data.training), len(data.validation or ())) == (40, 10)


def test_images_are_normalized_by_the_training_parts_own_mean_and_spread(tmp_path: Path) -> None:
    images, classes = bars(40, channels=3)
    images[..., 2] = 7
    spec, data = load(pack_images(tmp_path, train=(images, classes)), {})
    inputs, _ = Feed(spec, data, Clock(1, 1), "cpu").evaluation_batch(data.training, torch.arange(30))
    torch.testing.assert_close(inputs.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(inputs.std((0, 2, 3), correction=0), torch.tensor([1.0, 1.0, 0.0]), atol=1e-4, rtol=0)
    assert data.normalization.divisor == 255


@pytest.mark.parametrize(("normalize", "largest"), [("unit", 1.0), ("none", 255.0)])
def test_other_normalizations(tmp_path: Path, normalize: str, largest: float) -> None:
    images, classes = bars(20)
    images[0] = 255
    spec, data = load(pack_images(tmp_path, train=(images, classes)), no_validation(normalize=normalize))
    inputs, _ = Feed(spec, data, Clock(1, 1), "cpu").evaluation_batch(data.training, torch.arange(20))
    assert inputs.max() == largest


def test_spread_is_exact_over_many_chunks(tmp_path: Path) -> None:
    images, classes = bars(700, channels=3)
    _, data = load(pack_images(tmp_path, train=(images, classes)), no_validation())
    mean, std = spread(data.training, 3)
    np.testing.assert_allclose(mean, images.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, images.std((0, 1, 2)), rtol=1e-12)


def test_inputs_far_from_0_and_1_are_warned_about(tmp_path: Path) -> None:
    events = run(pack_images(tmp_path, train=bars(20)), no_validation(normalize="none"))
    assert [event.code for event in events if isinstance(event, Warned)] == ["inputs_not_normalized"]


def test_a_table_becomes_numbers_one_column_per_category_and_the_mean_where_one_is_missing(tmp_path: Path) -> None:
    _, data = load(pack_table(tmp_path, COLUMNS, ROWS), no_validation(target="grade"))
    expected = torch.tensor([[1.0, 1, 0], [2, 0, 1], [2, 0, 0], [3, 0, 1]])
    torch.testing.assert_close(data.training.inputs, expected)
    assert data.normalization.mean == (2.0, 0.0, 0.0)
    assert data.normalization.std == pytest.approx((0.5**0.5, 1.0, 1.0))
    torch.testing.assert_close(data.training.targets, torch.tensor([[3.0], [5.0], [8.0], [5.0]]))


@pytest.mark.parametrize(
    ("target", "words", "expected"),
    [("grade", {"loss": {"type": "cross_entropy"}}, [0, 1, 2, 1])],
)
def test_a_column_of_few_numbers_can_be_classes(
    tmp_path: Path, target: str, words: dict[str, Any], expected: list[int]
) -> None:
    _, data = load(pack_table(tmp_path, COLUMNS, ROWS), {**no_validation(target=target), **words})
    assert data.training.targets.tolist() == expected
    assert data.task.classes == ("3", "5", "8")


def test_features_are_taken_in_the_order_they_are_named(tmp_path: Path) -> None:
    _, data = load(pack_table(tmp_path, COLUMNS, ROWS), no_validation(target="grade", features=["colour", "size"]))
    assert data.training.inputs[1].tolist() == [0, 1, 2]


def test_regression_on_vectors_learns_a_line(tmp_path: Path) -> None:
    inputs = np.random.default_rng(0).normal(5, 3, (200, 3)).astype(np.float32)
    targets = (inputs @ np.array([[1.0], [-2.0], [0.5]], dtype=np.float32)).astype(np.float32)
    words = {
        "network": {"type": "mlp", "hidden": []},
        "optimizer": {"type": "adam", "learning_rate": 0.1},
        "training": {"epochs": 30, "batch_size": 16},
    }
    last = [
        event for event in run(pack_vectors(tmp_path, inputs, targets, None), words) if isinstance(event, EpochDone)
    ]
    assert last[-1].metrics["validation/r2"] > 0.99


def test_two_classes_of_bits_learn_through_one_logit(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (300, 10), dtype=np.uint8)
    packed = pack_vectors(tmp_path, bits, bits[:, 3].astype(np.int64), ("off", "on"))
    words = {"loss": {"type": "binary_cross_entropy"}, "optimizer": {"type": "rmsprop", "learning_rate": 0.01}}
    events = run(packed, {**words, "training": {"epochs": 10, "batch_size": 16}})
    assert isinstance(events[0], Started)
    assert [event for event in events if isinstance(event, EpochDone)][-1].metrics["validation/accuracy"] > 0.95


TAGGED = (
    NumericColumn(name="size", missing=0, mean=2.0, std=1.0, minimum=1.0, maximum=3.0, distinct=None),
    NumericColumn(name="sport", missing=0, mean=0.5, std=0.5, minimum=0.0, maximum=1.0, distinct=(0.0, 1.0)),
    NumericColumn(name="news", missing=0, mean=0.5, std=0.5, minimum=0.0, maximum=1.0, distinct=(0.0, 1.0)),
    CategoricalColumn(name="tags", missing=1, categories=("a", "a|b", "c")),
)
TAGGED_ROWS = np.array([[1.0, 0, 1, 0], [2.0, 1, 1, MISSING], [3.0, 0, 0, 2], [1.0, 1, 0, 1]])


def test_columns_of_0_and_1_are_labels(tmp_path: Path) -> None:
    _, data = load(
        pack_table(tmp_path, TAGGED, TAGGED_ROWS), no_validation(target=["sport", "news"], features=["size"])
    )
    assert data.training.targets.tolist() == [[0, 1], [1, 1], [0, 0], [1, 0]]


def test_cells_list_labels_and_an_empty_one_has_none(tmp_path: Path) -> None:
    _, data = load(pack_table(tmp_path, TAGGED, TAGGED_ROWS), no_validation(target="tags", delimiter="|"))
    assert data.task.classes == ("a", "b", "c")
    assert data.training.targets.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 1], [1, 1, 0]]


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"loss": {"type": "focal", "alpha": [0.75, 0.25]}},
        {"regularization": [{"type": "label_smoothing", "epsilon": 0.1}], "augmentation": [{"type": "mixup"}]},
    ],
)
def test_labels_that_follow_from_the_inputs_are_learnt(tmp_path: Path, words: dict[str, Any]) -> None:
    inputs = np.random.default_rng(0).standard_normal((200, 4)).astype("f4")
    labels = (inputs[:, :3] > 0).astype("u1")
    packed = pack_vectors(tmp_path, inputs, labels, ("a", "b", "c"))
    words = {**words, "optimizer": {"type": "adam", "learning_rate": 0.05}, "training": {"epochs": 8, "batch_size": 20}}
    metrics = [event for event in run(packed, words) if isinstance(event, EpochDone)][-1].metrics
    assert metrics["validation/accuracy"] > 0.9


@pytest.mark.parametrize("held_back", ["a fraction", "a split"])
def test_data_live_on_a_device_that_has_room_for_them(
    held_back: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`meta` is a device that only notes what would be there."""
    packed = pack_images(tmp_path, train=bars(40), test=bars(20, seed=1))
    validation = {"fraction": 0.25} if held_back == "a fraction" else {"split": "test"}
    data = load(packed, {"dataset": {"id": "x", "validation": validation}})[1]
    assert data.validation is not None
    stored = (40 if held_back == "a fraction" else 60) * 64
    room = SimpleNamespace(total_memory=stored / RESIDENT_SHARE)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: room)
    there = resident(data, "meta")
    assert there.validation is not None
    assert there.training.inputs.is_meta
    assert there.training.targets.is_meta
    assert there.validation.inputs.is_meta
    assert (there.validation.inputs is there.training.inputs) == (held_back == "a fraction")
    assert len(there.training) == len(data.training)
    assert len(there.validation) == len(data.validation)
    room.total_memory -= 1 / RESIDENT_SHARE
    assert resident(data, "meta") is data
    assert resident(data, "cpu") is data
