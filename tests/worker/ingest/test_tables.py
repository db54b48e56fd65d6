from pathlib import Path

import numpy as np
import pytest

from models.spec.manifest import CategoricalColumn, NumericColumn, TableManifest
from tests.worker.ingest.uploads import load, pack, refusal, written
from worker.ingest.columns import Statistics
from worker.ingest.limits import Limits


def packed(tmp_path: Path, text: str | bytes, limits: Limits | None = None) -> tuple[TableManifest, list[list[float]]]:
    manifest, target = pack(written(tmp_path / "a.csv", text), limits or Limits())
    assert isinstance(manifest, TableManifest)
    return manifest, load(target, manifest.splits["train"].inputs).tolist()


def test_numbers_are_packed_as_they_are(tmp_path: Path) -> None:
    manifest, cells = packed(tmp_path, "a,b\n1,2.5\n-3e2,0.1\n")
    assert cells == [[1, 2.5], [-300, 0.1]]
    assert [column.name for column in manifest.columns] == ["a", "b"]


def test_text_becomes_the_place_of_its_category(tmp_path: Path) -> None:
    manifest, cells = packed(tmp_path, "a,b\nred,1\nblue,2\nred,3\n")
    assert manifest.columns[0] == CategoricalColumn(name="a", missing=0, categories=("blue", "red"))
    assert [row[0] for row in cells] == [1, 0, 1]


@pytest.mark.parametrize("word", ["", "NA", "NaN", "null", "?", " ", "na", "NULL"])
@pytest.mark.parametrize("other", ["1", "red"])
def test_missing_values_are_counted(tmp_path: Path, word: str, other: str) -> None:
    manifest, cells = packed(tmp_path, f"a,b\n{word},1\n{other},2\n")
    assert manifest.columns[0].missing == 1
    assert np.isnan(cells[0][0])
    assert not np.isnan(cells[1][0])


def test_a_number_that_turns_out_to_be_text_makes_its_whole_column_text(tmp_path: Path) -> None:
    text = "a\n" + "7\n" * 200_000 + "seven\n"
    manifest, cells = packed(tmp_path, text)
    assert manifest.columns == (CategoricalColumn(name="a", missing=0, categories=("7", "seven")),)
    assert (cells[0], cells[-1]) == ([0], [1])


@pytest.mark.parametrize("text", ["1_000", "0x10", "12 kg", "1,5"])
def test_what_is_not_plainly_a_number_is_text(tmp_path: Path, text: str) -> None:
    manifest, _ = packed(tmp_path, f'a\n"{text}"\n')
    assert manifest.columns[0].type == "categorical"


def test_a_column_is_described_as_numpy_does(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal(5_000) * 3 + 1e6
    manifest, _ = packed(tmp_path, "a\n" + "\n".join(map(repr, values.tolist())))
    column = manifest.columns[0]
    assert isinstance(column, NumericColumn)
    assert (column.mean, column.std) == pytest.approx((values.mean(), values.std()), rel=1e-12)
    assert (column.minimum, column.maximum, column.distinct) == (values.min(), values.max(), None)


def test_statistics_of_blocks_are_those_of_the_whole() -> None:
    cells = np.random.default_rng(0).standard_normal((1_000, 3)) + 1e4
    cells[::7, 1] = np.nan
    statistics = Statistics(3)
    for block in np.split(cells, [1, 10, 500]):
        statistics.add(block)
    described = [statistics.numeric(index, "a") for index in range(3)]
    assert [column.mean for column in described] == pytest.approx(np.nanmean(cells, axis=0).tolist(), rel=1e-13)
    assert [column.std for column in described] == pytest.approx(np.nanstd(cells, axis=0).tolist(), rel=1e-10)


@pytest.mark.parametrize(("count", "listed"), [(100, True), (101, False)])
def test_up_to_a_hundred_values_are_listed(tmp_path: Path, count: int, listed: bool) -> None:
    manifest, _ = packed(tmp_path, "a\n" + "\n".join(str(number % count) for number in range(500)))
    column = manifest.columns[0]
    assert isinstance(column, NumericColumn)
    assert column.distinct == (tuple(map(float, range(count))) if listed else None)


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfa,b\n1,2\n",
        "a,b\r\n1,2\r\n",
        "a,b\n1,2",
        "a,b\n\n1,2\n\n",
        '"a","b"\n"1","2"\n',
        " a , b \n 1 , 2 \n",
    ],
)
def test_dialects_of_csv_are_read_alike(tmp_path: Path, text: str | bytes) -> None:
    manifest, cells = packed(tmp_path, text)
    assert [column.name for column in manifest.columns] == ["a", "b"]
    assert cells == [[1, 2]]


def test_quoted_cells_hold_commas_and_quotes(tmp_path: Path) -> None:
    manifest, _ = packed(tmp_path, 'a,b\n"x, ""y""",1\n')
    assert manifest.columns[0] == CategoricalColumn(name="a", missing=0, categories=('x, "y"',))


def test_a_column_without_a_value_is_left_out_and_named(tmp_path: Path) -> None:
    manifest, _ = packed(tmp_path, "a,b\n,1\n?,2\n")
    assert [column.name for column in manifest.columns] == ["b"]
    assert [(skipped.entry, skipped.reason) for skipped in manifest.skipped] == [("column a", "no row has a value")]


@pytest.mark.parametrize(
    ("text", "code", "row"),
    [
        ("a,b\n1,2\n3\n", "ragged_row", 3),
        ("a,b\n1,2\n3,4,5\n", "ragged_row", 3),
        ('a,b\n"x\ny",2\n3\n', "ragged_row", 3),
        ('a,b\n1,2\n"3,4\n5,6\n', "malformed_csv", 3),
        ('a,b\n1,"2"x\n', "malformed_csv", 2),
        ("a,b\r1,2\r", "malformed_csv", 1),
        ("a;b\n1;2\n", "malformed_csv", 1),
        ("a,a\n1,2\n", "duplicate_column", 1),
        ("a,\n1,2\n", "header_missing", 1),
        ("1,2\n3,4\n", "header_missing", 1),
        ("a,b\n", "empty", None),
        ("\n\n", "empty", None),
        (b"a,b\n1,2\n\xff,3\n", "wrong_encoding", 3),
        ("a,b\n1,inf\n", "not_finite", 2),
        ("a,b\n1,2\n1,1e999\n", "not_finite", 3),
        ("a,b\n,\n?,NA\n", "no_columns", None),
        ("a\n" + "x" * 70_000, "cell_too_large", 2),
    ],
)
def test_a_bad_table_is_refused_at_its_row(tmp_path: Path, text: str | bytes, code: str, row: int | None) -> None:
    error = refusal(written(tmp_path / "a.csv", text))
    assert (error.code, error.row) == (code, row)


def test_a_ragged_row_says_what_was_found_and_expected(tmp_path: Path) -> None:
    error = refusal(written(tmp_path / "a.csv", "a,b,c\n1,2,3\n1,2\n"))
    assert error.detail.startswith("Row 3 has 2 cells; 3 are expected")


@pytest.mark.parametrize(
    ("limits", "text", "code"),
    [
        (Limits(columns=2), "a,b,c\n1,2,3\n", "too_many_columns"),
        (Limits(row_bytes=100), "a\n" + "1," * 100, "row_too_large"),
        (Limits(row_bytes=100), 'a\n"' + "1\n" * 100, "row_too_large"),
        (Limits(examples=2), "a\n1\n2\n3\n", "too_many_examples"),
        (Limits(categories_total=3), "a,b\nu,x\nv,y\n", "too_many_categories"),
    ],
)
def test_a_table_beyond_the_limits_is_refused(tmp_path: Path, limits: Limits, text: str, code: str) -> None:
    assert refusal(written(tmp_path / "a.csv", text), limits).code == code
