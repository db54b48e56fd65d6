"""Data sets that a spec cannot be trained on, and specs far too large, refused before anything runs."""

import time
from typing import Any

import pytest

from models.spec import SpecInvalid, task_of
from models.spec.manifest import Manifest
from tests.models.spec.manifests import WINE, images, number, table, vectors, words
from tests.models.spec.specs import errors_of, raw, spec, warnings

TINY = 200_000
TINY_LAYERS: list[dict[str, Any]] = [
    {"type": "sequential", "layers": [{"type": "dense", "units": 1}] * TINY},
    {"type": "mlp", "hidden": [1] * TINY},
    {"type": "cnn", "widths": [1] * TINY},
]
HALF = {"validation": {"fraction": 0.5}}
GAPS = table(number("a", missing=2), words("b", "x", "y"), number("target"))

DATA: list[tuple[Manifest, dict[str, Any], str, str]] = [
    (images(train=1), {"dataset": HALF}, "/dataset/validation/fraction", "too_few_examples"),
    (images().model_copy(update={"splits": {}}), {}, "/dataset/id", "no_training_data"),
    (images(), {"dataset": {"validation": {"split": "tset"}}}, "/dataset/validation/split", "unknown_split"),
    (images(), {"dataset": {"validation": {"split": "train"}}}, "/dataset/validation/split", "unknown_split"),
    (images(("cat",)), {}, "/dataset/id", "one_class"),
    (images(), {"dataset": {"class_mode": "binary"}}, "/dataset/class_mode", "not_binary"),
    (images(), {"dataset": {"class_mode": "regression"}}, "/dataset/class_mode", "classes_not_numbers"),
    (images(), {"dataset": {"class_mode": "multi_label"}}, "/dataset/class_mode", "not_multi_label"),
    (vectors(5, None), {"dataset": {"class_mode": "categorical"}}, "/dataset/class_mode", "numbers_not_classes"),
    (vectors(), {"dataset": {"target": "price"}}, "/dataset/target", "not_a_table"),
    (vectors(), {"dataset": {"features": ["price"]}}, "/dataset/features", "not_a_table"),
    (table(number("a")), {}, "/dataset/id", "no_features"),
    (table(number("a"), number("b", missing=3)), {}, "/dataset/target", "missing_targets"),
    (table(number("a"), number("b")), {"loss": {"type": "cross_entropy"}}, "/dataset/target", "too_many_classes"),
    (WINE, {"dataset": {"features": ["cork", "cork"]}}, "/dataset/features/1", "duplicate_feature"),
    (WINE, {"dataset": {"features": ["cork", "quality"]}}, "/dataset/features/1", "target_as_feature"),
]


@pytest.mark.parametrize(("manifest", "families", "pointer", "code"), DATA)
def test_data_that_cannot_be_trained_on_is_refused(
    manifest: Manifest, families: dict[str, Any], pointer: str, code: str
) -> None:
    dataset = {"id": "ds_1", **families.get("dataset", {})}
    with pytest.raises(SpecInvalid) as raised:
        task_of(spec(**{**families, "dataset": dataset}), manifest)
    assert (pointer, code) in [(error.pointer, error.code) for error in raised.value.errors]


@pytest.mark.parametrize("network", TINY_LAYERS, ids=lambda network: str(network["type"]))
def test_two_hundred_thousand_tiny_layers_are_refused_at_once(network: dict[str, Any]) -> None:
    sent = {**raw(), "network": network}
    start = time.perf_counter()
    (error,) = errors_of(sent)
    assert time.perf_counter() - start < 0.1
    assert (error.code, error.pointer.split("/")[1]) == ("too_long", "network")
    assert "200,000" in error.detail


@pytest.mark.parametrize("words_of_another", [{"schedule": {"type": "one_cycle"}}, {"phases": []}])
def test_a_schedule_holds_no_other_one(words_of_another: dict[str, Any]) -> None:
    (error,) = errors_of(raw(schedule={"type": "cosine_warm_restarts", **words_of_another}))
    assert error.pointer.startswith("/schedule")
    assert error.code in ("schedule_in_schedule", "unknown_key")


def test_a_best_checkpoint_chosen_by_a_handful_of_examples_is_worth_a_word() -> None:
    assert "few_examples" in warnings(images(train=100), dataset={"id": "ds_1", "validation": {"fraction": 0.1}})


def test_gaps_in_the_features_are_told() -> None:
    assert "`a`" in warnings(GAPS, dataset={"id": "ds_1", "target": "target"})["missing_values"].detail
