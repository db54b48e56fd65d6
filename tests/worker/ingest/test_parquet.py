import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from models.spec.manifest import NumericColumn, TableManifest
from tests.worker.ingest.uploads import load, pack, refusal, written
from worker.ingest.limits import Limits


def stored(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def packed(source: Path) -> tuple[TableManifest, list[list[float]]]:
    manifest, target = pack(source)
    assert isinstance(manifest, TableManifest)
    return manifest, load(target, manifest.splits["train"].inputs).tolist()


@pytest.mark.parametrize("options", [{}, {"use_dictionary": False}, {"row_group_size": 700, "compression": "gzip"}])
def test_a_table_is_packed_as_the_same_one_in_csv_is(tmp_path: Path, options: dict[str, Any]) -> None:
    random = np.random.default_rng(0)
    numbers, colours = random.standard_normal(20_000), random.choice(["red", "blue", " green "], 20_000)
    columns = {
        "x": pa.array([None if place % 5 == 0 else value for place, value in enumerate(numbers.tolist())]),
        "n": pa.array(random.integers(0, 300, 20_000)),
        "colour": pa.array([None if place % 7 == 0 else str(value) for place, value in enumerate(colours)]),
        "review": pa.array([f"word{place % 3000} and {colour}" for place, colour in enumerate(colours)]),
        "sold": pa.array(random.integers(0, 2, 20_000).astype(np.uint8)),
    }
    pa.csv.write_csv(pa.table(columns), tmp_path / "a.csv")
    of_csv, _ = pack(tmp_path / "a.csv")
    of_parquet, _ = pack(stored(tmp_path / "a.parquet", columns, **options))
    assert of_parquet == of_csv
    assert isinstance(of_csv, TableManifest)
    assert [column.type for column in of_csv.columns] == ["numeric", "numeric", "categorical", "numeric"]
    assert [text.name for text in of_csv.texts] == ["review"]


def test_every_kind_of_number_is_read_and_null_is_missing(tmp_path: Path) -> None:
    kinds = [pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.int64()]
    columns = {str(kind): pa.array([1, None, 3]).cast(kind) for kind in kinds}
    columns["decimal"] = pa.array([Decimal("1.00"), None, Decimal("3.00")])
    columns["bool"] = pa.array([True, None, False])
    columns["nan"] = pa.array([1.5, float("nan"), None])
    manifest, cells = packed(stored(tmp_path / "a.parquet", columns))
    assert [column.missing for column in manifest.columns] == [1] * 7 + [2]
    np.testing.assert_array_equal(cells, [[1] * 7 + [1.5], [np.nan] * 8, [3] * 6 + [0, np.nan]])
    assert all(isinstance(column, NumericColumn) for column in manifest.columns)


def test_other_columns_are_left_out_and_named(tmp_path: Path) -> None:
    columns = {
        "x": [1, 2],
        "list": [[1], [2, 3]],
        "struct": [{"a": 1}, {"a": 2}],
        "day": [datetime.date(2020, 1, 1)] * 2,
        "raw": [b"1", b"2"],
        "__index_level_0__": [0, 1],
    }
    manifest, _ = packed(stored(tmp_path / "a.parquet", columns))
    assert [column.name for column in manifest.columns] == ["x"]
    reasons = {skipped.entry.removeprefix("column "): skipped.reason.split(" (")[0] for skipped in manifest.skipped}
    assert reasons == {
        "list": "nested values",
        "struct": "nested values",
        "day": "dates or times",
        "raw": "values of type binary, which are not read",
        "__index_level_0__": "the index of a pandas table; save it with index=False",
    }


@pytest.mark.parametrize(
    ("columns", "limits", "code"),
    [
        ({"x": [1.0, float("inf")]}, Limits(), "not_finite"),
        ({"x": [[1]]}, Limits(), "no_columns"),
        ({"x": pa.array([], pa.int8())}, Limits(), "empty"),
        ({"": [1]}, Limits(), "header_missing"),
        ({"x": [1, 2, 3]}, Limits(examples=2), "too_many_examples"),
        ({"x": [1], "y": [1]}, Limits(columns=1), "too_many_columns"),
        ({"x": ["abcdef"]}, Limits(cell_bytes=5), "cell_too_large"),
        ({"x": np.zeros(10_000)}, Limits(slack=0, ratio=2), "ratio"),
    ],
)
def test_tables_that_are_no_data_set_are_refused(
    tmp_path: Path, columns: dict[str, Any], limits: Limits, code: str
) -> None:
    assert refusal(stored(tmp_path / "a.parquet", columns), limits).code == code


def test_a_file_that_is_cut_short_or_damaged_is_refused(tmp_path: Path) -> None:
    data = stored(tmp_path / "whole.parquet", {"x": np.arange(1000.0)}, use_dictionary=False).read_bytes()
    for damaged in (
        data[:-20],
        data[:50],
        data[:100] + b"\xff" * 3000 + data[3100:],
        data[:-8] + b"\xff" * 4 + b"PAR1",
    ):
        assert refusal(written(tmp_path / "a.parquet", damaged)).code == "damaged_parquet"
