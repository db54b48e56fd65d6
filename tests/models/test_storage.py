"""Both stores behave alike: a folder of our own, and a real S3-compatible server."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from xml.etree import ElementTree

import pytest

from models.settings import Settings
from models.signatures import Signer
from models.storage import OUTAGES, Damaged, NotThere, SignedPut, Storage, get_file, open_storage, put_file
from tests.servers.s3 import S3


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return open_storage(Settings(database_url="sqlite://", storage_url=f"file://{tmp_path}/objects"))
    return bucket_of(request.getfixturevalue("s3"))


def bucket_of(s3: S3) -> Storage:
    return open_storage(
        Settings(
            database_url="sqlite://",
            storage_url=s3.url,
            s3_endpoint=s3.endpoint,
            s3_region=s3.region,
            s3_access_key_id=s3.access_key,
            s3_secret_access_key=s3.secret_key,
        )
    )


def put(storage: Storage, key: str, data: bytes) -> str:
    writer = storage.writer(key)
    writer.write(data)
    return writer.commit().sha256


def test_what_is_written_is_read_back_with_its_hash(storage: Storage) -> None:
    assert put(storage, "a/b", b"hello") == hashlib.sha256(b"hello").hexdigest()
    assert b"".join(storage.read("a/b")) == b"hello"
    assert storage.size("a/b") == 5


def test_an_object_of_many_parts_is_whole(storage: Storage, tmp_path: Path) -> None:
    source = tmp_path / "large"
    source.write_bytes(bytes(range(256)) * 80_000)
    stored = put_file(storage, "large", source)
    get_file(storage, "large", tmp_path / "back", stored.sha256)
    assert (tmp_path / "back").read_bytes() == source.read_bytes()


@pytest.mark.parametrize(("start", "end"), [(0, 3), (2, 5), (4, None), (0, None)])
def test_a_range_is_what_slicing_gives(storage: Storage, start: int, end: int | None) -> None:
    put(storage, "range", b"0123456789")
    assert b"".join(storage.read("range", start, end)) == b"0123456789"[start:end]


def test_a_writer_that_is_only_closed_leaves_nothing(storage: Storage) -> None:
    writer = storage.writer("half")
    writer.write(b"x" * 1000)
    writer.close()
    with pytest.raises(NotThere):
        storage.size("half")
    assert list(storage.keys("")) == []


def test_a_full_disk_keeps_no_temporary_file(tmp_path: Path) -> None:
    """The limit on a file's size stands for a disk that is full from some byte on."""
    command = """
import resource, signal, sys
from pathlib import Path
from models.storage import CHUNK, Folder, put_file

place = Path(sys.argv[1])
folder = Folder(place / "objects")
(place / "source").write_bytes(bytes(CHUNK + 2000))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (CHUNK + 1000, resource.RLIM_INFINITY))
try:
    put_file(folder, "large", place / "source")
except OSError:
    sys.exit(3)
"""
    assert subprocess.run([sys.executable, "-c", command, tmp_path], check=False).returncode == 3
    assert list((tmp_path / "objects").iterdir()) == []


def test_closing_says_nothing_that_committing_has_said(tmp_path: Path) -> None:
    """What is still in Python's buffer does not fit at either."""
    command = """
import resource, signal, sys
from pathlib import Path
from models.storage import Folder

writer = Folder(Path(sys.argv[1]) / "objects").writer("small")
writer.write(bytes(2000))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    writer.commit()
except OSError:
    writer.close()
    sys.exit(3)
"""
    assert subprocess.run([sys.executable, "-c", command, tmp_path], check=False).returncode == 3
    assert list((tmp_path / "objects").iterdir()) == []


def test_what_is_not_there_is_said_to_be(storage: Storage) -> None:
    with pytest.raises(NotThere):
        b"".join(storage.read("nothing"))
    storage.delete("nothing")


def test_keys_are_listed_below_a_prefix(storage: Storage) -> None:
    for key in ("p/1", "p/q/2", "r/3"):
        put(storage, key, b"x")
    assert sorted(storage.keys("p")) == ["p/1", "p/q/2"]
    storage.delete("p/1")
    assert list(storage.keys("p")) == ["p/q/2"]


def test_a_file_whose_bytes_changed_is_not_handed_out(storage: Storage, tmp_path: Path) -> None:
    put(storage, "changed", b"hello")
    with pytest.raises(Damaged):
        get_file(storage, "changed", tmp_path / "changed", hashlib.sha256(b"hellO").hexdigest())
    assert list(tmp_path.glob("*changed*")) == list(tmp_path.glob(".part-*")) == []


def test_a_store_that_can_sign_hands_out_a_url_that_reads_without_credentials(storage: Storage) -> None:
    put(storage, "signed", b"hello")
    url = storage.presign("signed", 60)
    assert url is None or urlopen(url).read() == b"hello"


def send(signed: SignedPut, data: bytes) -> int:
    try:
        with urlopen(Request(signed.url, data, dict(signed.headers), method="PUT")) as reply:
            return int(reply.status)
    except HTTPError as error:
        return error.code


def test_a_signed_put_writes_these_bytes_and_no_others(s3: S3) -> None:
    storage = bucket_of(s3)
    signed = storage.presign_put("part", 5, hashlib.sha256(b"hello").hexdigest(), 60)
    assert signed is not None
    longer = SignedPut(signed.url, {**signed.headers, "content-length": "9"})
    assert send(longer, b"hello you") == 403
    assert list(storage.keys("")) == []
    assert send(signed, b"hallo") == 400
    assert send(signed, b"hello") == 200
    assert b"".join(storage.read("part")) == b"hello"


def test_what_a_dead_writer_left_in_a_bucket_is_ended(s3: S3) -> None:
    storage = bucket_of(s3)
    writers = [storage.writer(key) for key in ("a/b", "a/c/d", "ab")]
    for writer in writers:
        for _ in range(12):
            writer.write(bytes(1024**2))
    assert pending(s3) == ["a/b", "a/c/d", "ab"]
    storage.end_writers("a")
    assert pending(s3) == ["ab"]


def pending(s3: S3) -> list[str]:
    """Keys of multipart uploads that are neither completed nor ended, as another client of S3 lists them."""
    signer = Signer(f"{s3.endpoint}/{s3.bucket}", s3.region, s3.access_key, s3.secret_key)
    with urlopen(signer.url("GET", "", 60, {"uploads": "", "prefix": s3.prefix})) as reply:
        found = ElementTree.fromstring(reply.read()).iterfind("{*}Upload/{*}Key")
    return sorted(str(key.text).removeprefix(f"{s3.prefix}/") for key in found)


def test_links_name_the_server_as_users_reach_it(tmp_path: Path) -> None:
    bucket = open_storage(
        Settings(
            database_url="sqlite://",
            storage_url="s3://bucket",
            s3_endpoint="http://storage:8333",
            s3_public_endpoint="https://files.example.org",
            s3_access_key_id="id",
            s3_secret_access_key="secret",
        )
    )
    assert (bucket.presign("key", 60) or "").startswith("https://files.example.org/bucket/key?")


def test_a_store_that_is_away_is_said_to_be_in_each_direction(tmp_path: Path) -> None:
    nowhere = open_storage(
        Settings(
            database_url="sqlite://",
            storage_url="s3://bucket",
            s3_endpoint="http://127.0.0.1:1",
            s3_access_key_id="id",
            s3_secret_access_key="secret",
        )
    )
    with pytest.raises(OUTAGES):
        put(nowhere, "key", b"hello")
    with pytest.raises(OUTAGES):
        get_file(nowhere, "key", tmp_path / "key", "0" * 64)


@pytest.mark.parametrize("key", ["../x", "/etc/passwd", "a/../../x", ""])
def test_a_folder_keeps_to_itself(tmp_path: Path, key: str) -> None:
    folder = open_storage(Settings(database_url="sqlite://", storage_url=f"file://{tmp_path}/objects"))
    with pytest.raises(ValueError, match="not a key"):
        folder.writer(key)


def test_copying_ends_when_something_else_is_wanted_and_leaves_nothing(storage: Storage, tmp_path: Path) -> None:
    class Wanted(Exception): ...

    def look() -> None:
        raise Wanted

    sha256 = put(storage, "a", b"hello")
    (tmp_path / "source").write_bytes(b"hello")
    with pytest.raises(Wanted):
        get_file(storage, "a", tmp_path / "copies" / "a", sha256, look)
    with pytest.raises(Wanted):
        put_file(storage, "b", tmp_path / "source", look)
    assert list((tmp_path / "copies").iterdir()) == []
    assert list(storage.keys("")) == ["a"]


def test_what_a_dead_writer_left_is_cleared_away_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    storage = open_storage(Settings(database_url="sqlite://", storage_url=f"file://{tmp_path}/objects"))
    living = storage.writer("jobs/a")
    living.write(b"hello")
    left = tmp_path / "objects" / "jobs" / ".part-left"
    left.write_bytes(b"hel")
    assert storage.clear_away() == 0, "so young a file may be about to be locked"
    for path in left.parent.iterdir():
        os.utime(path, (0, 0))
    assert storage.clear_away() == 1
    assert not left.exists()
    living.commit()
    assert list(storage.keys("")) == ["jobs/a"]
