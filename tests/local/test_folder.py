import os
import subprocess
import sys
from pathlib import Path

import pytest

from client.access import Access, this_machine
from local.folder import DataFolder, InUse

HOLD = """
import sys
from pathlib import Path
from local.folder import DataFolder
with DataFolder(Path(sys.argv[1])).held():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_service_is_told_which_process_is_there(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    command = [sys.executable, "-c", HOLD, str(folder.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InUse, match=f"in use by process {holder.pid}"), folder.held():
            pass
        holder.kill()
    with folder.held():
        pass


def test_only_its_owner_can_enter_and_read_the_key(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    key = folder.keep_api_key("tw_a_b")
    assert [path.stat().st_mode & 0o777 for path in (folder.root, folder.objects, key)] == [0o700, 0o700, 0o600]
    assert folder.api_key() == "tw_a_b"
    folder.keep_api_key("tw_c_d")
    assert folder.api_key() == "tw_c_d"


def test_a_long_path_gets_a_socket_with_a_short_one_that_leaves_no_trace(tmp_path: Path) -> None:
    with DataFolder(tmp_path / ("long" * 30)).socket() as path:
        assert len(os.fsencode(path)) <= 100
        assert path.parent.stat().st_mode & 0o777 == 0o700
        path.touch()
    assert not path.parent.exists()


def test_a_socket_is_never_put_where_others_can_write(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / ("long" * 30))
    with folder.socket() as path:
        place = path.parent
    place.symlink_to(tmp_path)
    try:
        with pytest.raises(PermissionError), folder.socket():
            pass
    finally:
        place.unlink()


def test_a_service_is_announced_while_it_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINWRIGHT_HOME", str(tmp_path))
    folder = DataFolder(tmp_path)
    folder.keep_api_key("tw_a_b")
    with folder.announced("http://127.0.0.1:8003"):
        assert this_machine() == Access("http://127.0.0.1:8003", "tw_a_b", "the service on this machine")
    assert this_machine() is None
