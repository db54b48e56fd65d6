import hashlib
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from client.download import Part, whole_file
from client.errors import DigestMismatch
from client.resources import Checkpoint

CONTENT = bytes(range(256)) * 4
SHA256 = hashlib.sha256(CONTENT).hexdigest()
DIGEST = f"sha-256=:{b64encode(bytes.fromhex(SHA256)).decode()}:"
CHECKPOINT = Checkpoint(
    id="ckpt_1", job_id="job_1", attempt=1, kind="epoch", step=1, epoch=1, is_best=True, metrics={},
    bytes=len(CONTENT), sha256=SHA256, created_at=datetime.now(UTC),
)  # fmt: skip
WHOLE = httpx.Response(200)


def rest_from(start: int) -> httpx.Response:
    return httpx.Response(206, headers={"Content-Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"})


def leave_half(destination: Path, data: bytes = CONTENT[:500]) -> None:
    with Part(CHECKPOINT, destination, None) as part:
        part.begin(WHOLE)
        part.take(data)


def test_a_file_is_in_its_place_only_when_it_is_whole(tmp_path: Path) -> None:
    with Part(CHECKPOINT, tmp_path / "a", None) as part:
        part.begin(WHOLE)
        part.take(CONTENT)
        assert not (tmp_path / "a").exists()
        assert part.finish().read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("promised", [None, DIGEST])
def test_a_file_that_is_saved_is_what_was_promised(promised: str | None, tmp_path: Path) -> None:
    with whole_file(tmp_path / "a", promised) as file:
        file.write(CONTENT)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_file_that_is_not_what_was_promised_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DigestMismatch), whole_file(tmp_path / "a", DIGEST) as file:
        file.write(CONTENT[1:])
    with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "a") as file:
        file.write(bytes(1 // 0))
    assert list(tmp_path.iterdir()) == []


def test_what_an_interrupted_download_left_is_gone_on_with(tmp_path: Path) -> None:
    leave_half(tmp_path / "a")
    with Part(CHECKPOINT, tmp_path / "a", None) as part:
        assert part.headers["Range"] == "bytes=500-"
        assert part.headers["If-Range"] == f'"{SHA256}"'
        part.begin(rest_from(500))
        part.take(CONTENT[500:])
        assert part.finish().read_bytes() == CONTENT


def test_a_reply_with_all_of_the_file_starts_it_anew(tmp_path: Path) -> None:
    leave_half(tmp_path / "a")
    with Part(CHECKPOINT, tmp_path / "a", None) as part:
        part.begin(WHOLE)
        part.take(CONTENT)
        assert part.finish().read_bytes() == CONTENT


def test_wrong_bytes_are_deleted_and_leave_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"before")
    with Part(CHECKPOINT, tmp_path / "a", None) as part:
        part.begin(WHOLE)
        part.take(CONTENT[::-1])
        with pytest.raises(DigestMismatch):
            part.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"before"


def test_more_bytes_than_there_can_be_are_thrown_away(tmp_path: Path) -> None:
    leave_half(tmp_path / "a", CONTENT * 2)
    with Part(CHECKPOINT, tmp_path / "a", None) as part:
        assert part.size == 0


def test_a_folder_as_destination_gets_a_file_named_after_the_checkpoint(tmp_path: Path) -> None:
    with Part(CHECKPOINT, tmp_path, None) as part:
        assert part.destination == tmp_path / "ckpt_1.safetensors"


def test_progress_tells_what_is_there_and_what_will_be(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    with Part(CHECKPOINT, tmp_path / "a", lambda done, total: seen.append((done, total))) as part:
        part.begin(WHOLE)
        part.take(CONTENT[:500])
    assert seen == [(500, len(CONTENT))]
