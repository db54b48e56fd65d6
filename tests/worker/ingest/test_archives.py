import io
import os
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.worker.ingest.uploads import folder, image, refusal, tarred, zipped
from worker.ingest.limits import MIB, Limits

UNSAFE = [
    "../x.png",
    "a/../../x.png",
    "/abs.png",
    "C:\\x.png",
    "c:/x.png",
    "\\x.png",
    "a\\..\\x.png",
    "a\x07.png",
    "",
    ".",
]


@pytest.mark.parametrize("name", UNSAFE)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_path_that_leaves_the_archive_is_refused_by_name(tmp_path: Path, name: str, pack: object) -> None:
    assert callable(pack)
    error = refusal(pack(tmp_path / ("a.zip" if pack is zipped else "a.tar"), {**folder(), name: image()}))
    assert error.code == "unsafe_path"
    assert error.entry == name.replace("\x07", "\\x07")


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (tarfile.SYMTYPE, "link"),
        (tarfile.LNKTYPE, "link"),
        (tarfile.CHRTYPE, "special_file"),
        (tarfile.BLKTYPE, "special_file"),
        (tarfile.FIFOTYPE, "special_file"),
    ],
)
def test_a_tar_with_other_than_regular_files_is_refused(tmp_path: Path, kind: bytes, code: str) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        member = tarfile.TarInfo("cat/1.png")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    error = refusal(tmp_path / "a.tar")
    assert (error.code, error.entry) == (code, "cat/1.png")


@pytest.mark.parametrize(("mode", "code"), [(0o120777, "link"), (0o020666, "special_file"), (0o010666, "special_file")])
def test_a_zip_with_other_than_regular_files_is_refused(tmp_path: Path, mode: int, code: str) -> None:
    info = zipfile.ZipInfo("cat/1.png")
    info.create_system, info.external_attr = 3, mode << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    error = refusal(tmp_path / "a.zip")
    assert (error.code, error.entry) == (code, "cat/1.png")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_too_many_entries_are_refused(tmp_path: Path, kind: str) -> None:
    files = {f"cat/{number}.txt": b"" for number in range(30)}
    source = zipped(tmp_path / "a.zip", files) if kind == "zip" else tarred(tmp_path / "a.tar", files)
    assert refusal(source, Limits(entries=29)).code == "too_many_entries"


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_large_entry_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    files = {**folder(), "train/cat/large.png": os.urandom(2_000)}
    source = zipped(tmp_path / "a.zip", files) if kind == "zip" else tarred(tmp_path / "a.tar", files)
    error = refusal(source, Limits(entry_bytes=1_000))
    assert (error.code, error.entry) == ("entry_too_large", "train/cat/large.png")


def test_a_zip_that_unfolds_out_of_proportion_is_refused(tmp_path: Path) -> None:
    error = refusal(zipped(tmp_path / "a.zip", {"cat/1.png": image() + bytes(8 * MIB)}), Limits(slack=MIB))
    assert (error.code, error.entry) == ("ratio", "cat/1.png")


def test_a_gzip_that_unfolds_out_of_proportion_is_refused(tmp_path: Path) -> None:
    error = refusal(tarred(tmp_path / "a.tar.gz", {"cat/1.png": image() + bytes(8 * MIB)}, "w:gz"), Limits(slack=MIB))
    assert error.code == "ratio"


def test_small_files_that_decode_to_huge_images_are_refused(tmp_path: Path) -> None:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (2000, 2000)).save(file, "PNG")
    source = zipped(tmp_path / "a.zip", {f"cat/{number}.png": file.getvalue() for number in range(4)})
    assert refusal(source, Limits(slack=10 * MIB)).code == "ratio"


def test_a_zip_that_lies_about_its_sizes_is_refused(tmp_path: Path) -> None:
    source = zipped(tmp_path / "a.zip", {"cat/1.png": image() + bytes(100_000)})
    data = source.read_bytes().replace(struct.pack("<L", len(image()) + 100_000), struct.pack("<L", len(image())))
    source.write_bytes(data)
    assert (refusal(source).code, refusal(source).entry) == ("damaged_archive", "cat/1.png")


def test_a_zip_with_a_password_is_refused(tmp_path: Path) -> None:
    source = zipped(tmp_path / "a.zip", {"cat/1.png": image()})
    data = bytearray(source.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    source.write_bytes(data)
    assert refusal(source).code == "encrypted"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_of_rare_compression_is_refused(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("cat/1.png", image())
    assert refusal(tmp_path / "a.zip").code == "unsupported_compression"


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("other", ["cat/1.png", "cat//1.png", "./cat/1.png"])
def test_one_path_twice_is_refused(tmp_path: Path, other: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("cat/1.png", image())
        archive.writestr(other, image())
    assert refusal(tmp_path / "a.zip").code == "duplicate_entry"


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_archive_is_refused(tmp_path: Path, name: str, share: float) -> None:
    files = {f"cat/{number}.png": image(40, 40, seed=number) for number in range(20)}
    mode = "w:gz" if name.endswith("gz") else "w"
    source = zipped(tmp_path / name, files) if name == "a.zip" else tarred(tmp_path / name, files, mode)
    source.write_bytes(source.read_bytes()[: int(source.stat().st_size * share)])
    assert refusal(source).code == "damaged_archive"


def test_a_tar_with_a_damaged_header_in_the_middle_is_refused(tmp_path: Path) -> None:
    source = tarred(tmp_path / "a.tar", {"cat/1.png": image(), "cat/2.png": image()})
    data = bytearray(source.read_bytes())
    data[data.index(b"cat/2.png")] ^= 1
    source.write_bytes(data)
    assert refusal(source).code == "damaged_archive"


def test_a_tar_header_that_claims_gigabytes_is_refused(tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 2**33
    (tmp_path / "a.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
    assert refusal(tmp_path / "a.tar").code == "damaged_archive"


@pytest.mark.parametrize("place", [0.1, 0.4, 0.7])
def test_a_flipped_byte_in_a_zip_never_goes_unnoticed(tmp_path: Path, place: float) -> None:
    files = {f"cat/{number}.png": image(40, 40, seed=number) for number in range(9)}
    source = zipped(tmp_path / "a.zip", files)
    data = bytearray(source.read_bytes())
    data[int(len(data) * place)] ^= 0x55
    source.write_bytes(data)
    assert refusal(source).code == "damaged_archive"
