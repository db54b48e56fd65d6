"""Writes, reads and verifies the folder of a packed data set."""

import hashlib
import json
import os
import stat
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from models.spec.manifest import ArrayFile, ImageSplit, Manifest, TableManifest, TableSplit, VectorSplit
from worker.ingest.npy import file_sha256

MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 128 * 2**20

_manifests: TypeAdapter[Manifest] = TypeAdapter(Manifest)


class PackedDamaged(Exception):
    """A packed data set is not what its manifest says; the message names the file."""


def manifest_bytes(manifest: Manifest) -> bytes:
    """The one way to write a manifest: sorted keys, no spaces, UTF-8; equal manifests have equal bytes."""
    plain = manifest.model_dump(mode="json")
    return (
        json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode() + b"\n"
    )


def content_sha256(data: bytes) -> str:
    """The identity of a packed data set: the sha256 of its manifest's bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def write_manifest(folder: Path, manifest: Manifest) -> str:
    """Write `manifest.json`, sync it, and return its identity."""
    data = manifest_bytes(manifest)
    with (folder / MANIFEST).open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return content_sha256(data)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a packed folder; raises PackedDamaged when it cannot be one."""
    path = folder / MANIFEST
    if not _is_regular(path) or path.stat().st_size > MAX_MANIFEST_BYTES:
        raise PackedDamaged(f"{MANIFEST} is missing or no manifest")
    try:
        return _manifests.validate_json(path.read_bytes())
    except ValidationError as error:
        raise PackedDamaged(f"{MANIFEST} is no manifest: {error.error_count()} errors") from error


def array_files(manifest: Manifest) -> list[ArrayFile]:
    """Every array that a manifest names."""
    files = [file for split in manifest.splits.values() for file in _split_files(split)]
    return files + ([text.vocabulary for text in manifest.texts] if isinstance(manifest, TableManifest) else [])


def verify(folder: Path) -> Manifest:
    """Read a packed folder and compare every array with its manifest: size, header, sha256; raises PackedDamaged."""
    manifest = read_manifest(folder)
    for file in array_files(manifest):
        path = folder / file.path
        if Path(file.path).name != file.path or not _is_regular(path):
            raise PackedDamaged(f"{file.path} is missing or no regular file in the folder")
        if path.stat().st_size != file.bytes or file_sha256(path) != file.sha256:
            raise PackedDamaged(f"{file.path} does not have the size and sha256 of the manifest")
        _check_header(path, file)
    return manifest


def sync_folder(folder: Path) -> None:
    """Make names in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _split_files(split: ImageSplit | VectorSplit | TableSplit) -> list[ArrayFile]:
    match split:
        case ImageSplit():
            return [file for file in (split.inputs, split.targets, split.sizes, split.offsets) if file is not None]
        case VectorSplit():
            return [split.inputs, split.targets]
        case TableSplit():
            return [split.inputs, *(file for text in split.texts.values() for file in (text.words, text.offsets))]


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _check_header(path: Path, file: ArrayFile) -> None:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError) as error:
        raise PackedDamaged(f"{file.path} is no array that can be mapped: {error}") from error
    if array.shape != file.shape or array.dtype.name != file.dtype:
        raise PackedDamaged(
            f"{file.path} is {array.dtype.name} {array.shape}, the manifest says {file.dtype} {file.shape}"
        )
