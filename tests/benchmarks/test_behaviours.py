"""The claims of docs/behaviours.md in settings of a few seconds, with room for other machines."""

import json
from pathlib import Path

import pytest

from benchmarks.behaviours import CLAIMS, DIGITS, NUMBERS, PAGE, Numbers, Words, images, pack, page, rows, run, texts


def short(packed: Path, claim: str, start: str, **words: Words) -> Numbers:
    """The variant of a claim whose name begins so, with other words."""
    [variant] = [said for name, said in CLAIMS[claim].variants.items() if name.startswith(start)]
    return run(packed, {**CLAIMS[claim].words, **variant, **words})


def accuracy(numbers: Numbers) -> float:
    found = numbers["accuracy"]
    assert found is not None
    return found


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(tmp_path_factory.mktemp("digits"), "images", images(DIGITS))


def test_many_plain_layers_learn_from_hes_start_and_not_from_the_frameworks(digits: Path) -> None:
    words: Words = {"network": {"type": "mlp", "hidden": [128] * 15}, "training": {"steps": 120, "batch_size": 64}}
    assert accuracy(short(digits, "starts", "PyTorch", **words)) < 20.0
    assert accuracy(short(digits, "starts", "He", **words)) > 80.0


def test_a_recurrent_network_at_a_high_rate_diverges_without_clipping_and_learns_with_it(tmp_path: Path) -> None:
    packed = pack(tmp_path, "rows", rows(images(DIGITS)))
    words: Words = {"training": {"steps": 150, "batch_size": 64}}
    assert short(packed, "clipping", "no", **words)["diverged"] == 1.0
    clipped = short(packed, "clipping", "`global_norm`", **words)
    assert clipped["diverged"] == 0.0
    assert accuracy(clipped) > 40.0


def test_the_proximal_step_gives_exact_zeros_and_the_penalty_none(digits: Path) -> None:
    words: Words = {"training": {"steps": 300, "batch_size": 64}}
    penalty, proximal = (short(digits, "zeros", f"SGD 0.05, momentum 0.9, {mode}", **words) for mode in ("pen", "prox"))
    assert penalty["zeros"] == 0.0
    assert (proximal["zeros"] or 0.0) > 20.0
    assert accuracy(proximal) > accuracy(penalty) - 3.0


def test_a_small_network_on_text_learns_at_once_from_scaled_starts_and_late_from_a_random_one(tmp_path: Path) -> None:
    packed = pack(tmp_path, "texts", texts(1200))
    words: Words = {"training": {"epochs": 8, "batch_size": 128}}
    random, xavier, he = (short(packed, "small", start, **words) for start in ("`rand", "√(1", "√(2"))
    assert accuracy(random) < 75.0
    assert min(accuracy(xavier), accuracy(he)) > 85.0


def test_the_page_says_the_measured_numbers() -> None:
    assert PAGE.read_text() == page(json.loads(NUMBERS.read_text()))
