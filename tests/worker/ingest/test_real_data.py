from pathlib import Path

import numpy as np
import pytest

from models.spec.manifest import CategoricalColumn, ImageManifest, TableManifest
from tests.larger import larger_file
from tests.worker.ingest.uploads import load
from worker.ingest.sandbox import run_sandboxed

DIGITS = Path(__file__).parents[3] / "local" / "digits.npz"


def images(source: Path, target: Path) -> ImageManifest:
    manifest = run_sandboxed(source, target, filename=source.name)
    assert isinstance(manifest, ImageManifest)
    return manifest


def test_fashion_mnist_is_packed_as_it_is(tmp_path: Path) -> None:
    source = larger_file("data/fashion-mnist.npz")
    manifest = images(source, tmp_path / "packed")
    assert manifest.splits["train"].class_counts == (6_000,) * 10
    np.testing.assert_allclose((manifest.mean, manifest.std), ((0.2860,), (0.3530,)), atol=5e-5)  # as published
    expected = np.load(source)["test_images"][..., None]
    assert np.array_equal(load(tmp_path / "packed", manifest.splits["test"].inputs), expected)


def test_a_part_of_cifar_10_is_packed_from_its_folders(tmp_path: Path) -> None:
    manifest = images(larger_file("data/cifar10-small.zip"), tmp_path / "packed")
    assert (manifest.size, manifest.channels, manifest.skipped_total) == ((32, 32), 3, 0)
    assert manifest.splits["test"].class_counts == (200,) * 10
    np.testing.assert_allclose(manifest.mean, (0.4914, 0.4822, 0.4465), atol=0.01)  # of the whole data set


@pytest.mark.parametrize(
    ("name", "rows", "columns"), [("winequality-red.csv", 1_599, 12), ("pima-indians-diabetes.csv", 768, 9)]
)
def test_real_tables_are_packed(tmp_path: Path, name: str, rows: int, columns: int) -> None:
    source = larger_file(f"data/{name}")
    manifest = run_sandboxed(source, tmp_path / "packed", filename=name)
    assert isinstance(manifest, TableManifest)
    assert not any(isinstance(column, CategoricalColumn) for column in manifest.columns)
    expected = np.loadtxt(source, delimiter=",", skiprows=1)
    assert expected.shape == (rows, columns)
    assert np.array_equal(load(tmp_path / "packed", manifest.splits["train"].inputs), expected)


def test_the_digits_that_ship_with_the_project_are_whole(tmp_path: Path) -> None:
    manifest = images(DIGITS, tmp_path / "packed")
    assert (manifest.size, manifest.channels) == ((8, 8), 1)
    assert manifest.classes == tuple("0123456789")
    assert sum(split.examples for split in manifest.splits.values()) == 1_797
    assert DIGITS.stat().st_size < 100_000
