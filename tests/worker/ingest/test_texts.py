from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from models.spec.manifest import TableManifest
from models.spec.words import words_of
from tests.worker.ingest.uploads import load, pack, written
from worker.ingest.limits import Limits

REVIEWS = ["It's good, very GOOD!", "bad\n(really)", "", "good"] + [f"film number{place}" for place in range(1000)]


def reviews(tmp_path: Path, limits: Limits | None = None) -> tuple[TableManifest, Path]:
    rows = "".join('"{}",{}\n'.format(text.replace('"', '""'), place % 2) for place, text in enumerate(REVIEWS))
    manifest, target = pack(written(tmp_path / "a.csv", "review,liked\n" + rows), limits or Limits())
    assert isinstance(manifest, TableManifest)
    return manifest, target


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's GOOD, very good!", ["it's", "good", "very", "good"]),
        ("a-b_c.d\te\nf\u00a0g", ["a", "b", "c", "d", "e", "f", "g"]),
        ("", []),
        ("ÄRGER über 100%", ["ärger", "über", "100"]),
        ("x" * 100, ["x" * 64]),
    ],
)
def test_words_are_what_stands_between_separators(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_texts_come_back_word_by_word(tmp_path: Path) -> None:
    manifest, target = reviews(tmp_path)
    files = manifest.splits["train"].texts["review"]
    vocabulary = load(target, manifest.texts[0].vocabulary).tobytes().decode().split("\n")
    words, offsets = load(target, files.words), load(target, files.offsets)
    assert vocabulary == sorted(vocabulary)
    texts = [[vocabulary[word] for word in words[begin:end]] for begin, end in pairwise(offsets)]
    assert texts == [words_of(text) for text in REVIEWS]


def test_a_column_of_texts_is_described(tmp_path: Path) -> None:
    manifest, _ = reviews(tmp_path)
    [column] = manifest.texts
    assert (column.name, column.missing, column.longest) == ("review", 1, 4)
    assert (column.distinct, column.words) == (1006, 2007)
    assert column.common[:3] == ("film", "good", "bad")
    assert [one.name for one in manifest.columns] == ["liked"]


def test_a_column_of_too_many_words_is_left_out_and_named(tmp_path: Path) -> None:
    manifest, target = reviews(tmp_path, Limits(vocabulary=1000))
    assert manifest.texts == ()
    assert [skipped.reason for skipped in manifest.skipped] == ["text with more than 1,000 different words"]
    assert sorted(path.name for path in target.iterdir()) == ["manifest.json", "train.inputs.npy"]


def test_texts_of_many_blocks_are_whole(tmp_path: Path) -> None:
    texts = [" ".join(map(str, np.random.default_rng(row).integers(0, 5000, 40))) + " x" for row in range(30_000)]
    manifest, target = pack(written(tmp_path / "a.csv", "t,y\n" + "".join(f"{text},1\n" for text in texts)))
    assert isinstance(manifest, TableManifest)
    vocabulary = np.array(load(target, manifest.texts[0].vocabulary).tobytes().decode().split("\n"))
    words = load(target, manifest.splits["train"].texts["t"].words)
    assert vocabulary[words].tolist() == " ".join(texts).split()
