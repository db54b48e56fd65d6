"""The folder that holds everything of a one-machine service: its database, objects, logs and key. Deleting it deletes
the service; one service at a time runs on it."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOCKET_PATH_BYTES = 80
"""A Unix socket's path may have 108 bytes on Linux and 104 on macOS, and the broker first binds a name that is longer
by a process id and a random number.
"""


class InUse(Exception):
    """Another process runs the service on this data folder."""

    def __init__(self, root: Path, holder: str) -> None:
        who = f"process {holder}" if holder else "another process"
        super().__init__(
            f"The data folder {root} is in use by {who}. Stop that service first, or choose another folder with --data."
        )


class DataFolder:
    """Paths inside a data folder. Making one makes the folder, which only its owner can enter."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.database = self.root / "trainwright.db"
        self.objects = self._made("objects")
        self.cache = self._made("cache")
        self.logs = self._made("logs")
        self.broker = self._made("broker")
        self._api_key = self.root / "api-key"
        self._url = self.root / "url"
        self._lock = self.root / "lock"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep others out until the block ends, or this process does, however it does.

        Raises:
            InUse: somebody else holds it.
        """
        with self._lock.open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise InUse(self.root, lock.read().strip()) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            try:
                yield
            finally:
                lock.truncate(0)

    @contextmanager
    def socket(self) -> Iterator[Path]:
        """Where the broker listens: in the data folder, or in a private one whose name is short enough for a socket.
        (The broker itself takes the socket away when it stops.)

        Raises:
            PermissionError: the private folder belongs to somebody else.
        """
        path = self.broker / "socket"
        if _is_short(path):
            yield path
            return
        name = f"trainwright-{os.getuid()}-{hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]}"
        place = Path(tempfile.gettempdir()) / name
        folder = _private(place if _is_short(place / "socket") else Path("/tmp") / name)  # noqa: S108  it is private
        try:
            yield folder / "socket"
        finally:
            shutil.rmtree(folder)

    @contextmanager
    def announced(self, url: str) -> Iterator[None]:
        """Let clients of this machine's user find the service until the block ends."""
        self._url.write_text(url + "\n", encoding="ascii")
        try:
            yield
        finally:
            self._url.unlink()

    def api_key(self) -> str | None:
        try:
            return self._api_key.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return None

    def keep_api_key(self, text: str) -> Path:
        """Write the key where only the folder's owner can read it."""
        temporary = self._api_key.with_suffix(".part")
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        return temporary.replace(self._api_key)

    def _made(self, name: str) -> Path:
        folder = self.root / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder


def _is_short(path: Path) -> bool:
    return len(os.fsencode(path)) <= SOCKET_PATH_BYTES


def _private(folder: Path) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    state = folder.lstat()
    if state.st_uid != os.getuid() or state.st_mode & 0o077 or folder.is_symlink():
        raise PermissionError(f"{folder} is not this user's own: remove it, or give the data folder a shorter path")
    return folder
