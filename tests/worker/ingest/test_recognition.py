from pathlib import Path

import pytest

from tests.worker.ingest.uploads import folder, image, pack, refusal, saved, tarred, written, zipped


@pytest.mark.parametrize("name", ["upload", "my data v1.2", "images.ZIP"])
def test_an_archive_is_known_by_its_bytes(tmp_path: Path, name: str) -> None:
    assert pack(zipped(tmp_path / name, folder()))[0].kind == "image"


def test_a_table_without_a_suffix_is_read(tmp_path: Path) -> None:
    assert pack(written(tmp_path / "table", "a\n1\n"))[0].kind == "table"


def test_an_npz_called_zip_is_read(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.npz", x=[[1.0], [2.0]], y=[0, 1])
    assert pack(source.rename(tmp_path / "a.zip"))[0].kind == "vector"


@pytest.mark.parametrize(
    ("name", "data", "code", "says"),
    [
        ("a.csv", b"", "empty", "no byte"),
        ("a.zip", b"a,b\n1,2\n", "wrong_extension", "its content is text"),
        ("a.json", b'{"a": 1}', "wrong_extension", "a.json"),
        ("a.parquet", b"PARE....", "not_supported", "encrypted"),
        ("a.csv", b"PAR1....", "wrong_extension", "a Parquet file"),
        ("a.npy", b"\x93NUMPY\x01\x00", "not_supported", "numpy.savez"),
        ("a.zip", image(), "not_supported", "single PNG"),
        ("a.zip", image(kind="JPEG"), "not_supported", "single JPEG"),
        ("a.pkl", b"\x80\x04\x95", "not_supported", "pickle"),
        ("a.csv", "a,b\n1,2\n".encode("utf-16"), "not_supported", "UTF-16"),
        ("a.rar", b"Rar!\x1a\x07", "not_supported", "RAR"),
        ("a.csv", b"\x00\x01\x02\x03", "not_supported", "binary"),
        ("a.tar.gz", b"\x1f\x8b\x08garbage", "damaged_archive", "gzip"),
    ],
)
def test_what_is_not_accepted_is_called_by_its_name(
    tmp_path: Path, name: str, data: bytes, code: str, says: str
) -> None:
    error = refusal(written(tmp_path / name, data))
    assert error.code == code
    assert says in error.detail


@pytest.mark.parametrize("name", ["a.csv", "a.tar", "a.tar.gz"])
def test_a_zip_under_another_suffix_is_refused(tmp_path: Path, name: str) -> None:
    error = refusal(zipped(tmp_path / name, folder()))
    assert error.code == "wrong_extension"
    assert "its content is a zip archive" in error.detail


def test_a_gzip_without_a_tar_is_refused(tmp_path: Path) -> None:
    import gzip

    assert refusal(written(tmp_path / "a.csv.gz", gzip.compress(b"a\n1\n"))).code == "not_supported"


def test_an_office_document_is_refused(tmp_path: Path) -> None:
    assert "save the table as CSV" in refusal(zipped(tmp_path / "a.xlsx", {"[Content_Types].xml": b"<x/>"})).detail


def test_an_empty_archive_is_refused(tmp_path: Path) -> None:
    assert refusal(zipped(tmp_path / "a.zip", {})).code == "empty"
    assert refusal(tarred(tmp_path / "a.tar", {})).code == "not_supported"
