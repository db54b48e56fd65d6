"""The files that browsers load: read once, and named by what is in them, so that they may be kept for ever and never
get mixed with those of another version."""

import hashlib
from pathlib import Path

FOLDER = Path(__file__).with_name("static")
MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".json": "application/json"}


def _read() -> dict[str, bytes]:
    paths = sorted(path for path in FOLDER.rglob("*") if path.suffix in MEDIA_TYPES)
    return {path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in paths}


def _digest(files: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name}\n{len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


FILES = _read()
VERSION = _digest(FILES)


def media_type_of(name: str) -> str:
    return MEDIA_TYPES[Path(name).suffix]


def path_of(name: str) -> str:
    assert name in FILES, name
    return f"/static/{VERSION}/{name}"
