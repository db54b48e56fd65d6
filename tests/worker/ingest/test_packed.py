import json
from pathlib import Path

import pytest

from tests.worker.ingest.uploads import folder, pack, zipped
from worker.ingest.packed import MANIFEST, PackedDamaged, content_sha256, manifest_bytes, read_manifest, verify


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    return pack(zipped(tmp_path / "a.zip", folder()))[1]


def test_a_sound_folder_is_verified(packed: Path) -> None:
    assert verify(packed) == read_manifest(packed)


def test_the_manifest_is_the_only_way_to_write_itself(packed: Path) -> None:
    data = (packed / MANIFEST).read_bytes()
    assert manifest_bytes(read_manifest(packed)) == data
    assert list(json.loads(data)) == sorted(json.loads(data))


def test_the_identity_is_the_sha256_of_the_manifest() -> None:
    assert content_sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("name", ["train.inputs.npy", "test.targets.npy", MANIFEST])
def test_one_flipped_bit_is_found(packed: Path, name: str) -> None:
    data = bytearray((packed / name).read_bytes())
    data[len(data) // 2] ^= 1
    (packed / name).write_bytes(data)
    with pytest.raises(PackedDamaged):
        verify(packed)


@pytest.mark.parametrize("name", ["train.inputs.npy", MANIFEST])
def test_a_missing_file_is_found(packed: Path, name: str) -> None:
    (packed / name).unlink()
    with pytest.raises(PackedDamaged, match=name):
        verify(packed)


def test_a_link_is_not_followed(packed: Path, tmp_path: Path) -> None:
    (packed / "train.inputs.npy").rename(tmp_path / "elsewhere")
    (packed / "train.inputs.npy").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PackedDamaged, match="no regular file"):
        verify(packed)


def test_a_path_out_of_the_folder_is_refused(packed: Path) -> None:
    text = (packed / MANIFEST).read_text().replace('"train.inputs.npy"', '"../a.zip"')
    (packed / MANIFEST).write_text(text)
    with pytest.raises(PackedDamaged, match=r"\.\./a\.zip"):
        verify(packed)
