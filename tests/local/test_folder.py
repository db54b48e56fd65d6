import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.folder import DataFolder, InUse, default_root

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


def test_data_are_kept_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/share")
    assert default_root() == Path("/share/trainwright")
    monkeypatch.setenv("TRAINWRIGHT_HOME", "/home")
    assert default_root() == Path("/home")
