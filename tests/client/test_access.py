"""Which service is meant, and that its key goes nowhere else."""

import json
import stat
from pathlib import Path

import pytest

from client.access import DEFAULT_URL, Access, Profiles, data_folder, find_access


@pytest.fixture(autouse=True)
def nothing_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRAINWRIGHT_URL", "TRAINWRIGHT_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRAINWRIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))
    monkeypatch.delenv("APPDATA", raising=False)


def be_up(folder: Path, url: str = "http://127.0.0.1:8003") -> None:
    (folder / "home").mkdir()
    (folder / "home" / "url").write_text(url + "\n")
    (folder / "home" / "api-key").write_text("tw_machine\n")


def way(access: Access) -> tuple[str, str | None]:
    return access.url, access.api_key


def test_where_nothing_is_known_it_is_this_machine_without_a_key() -> None:
    assert way(find_access()) == (DEFAULT_URL, None)


def test_the_service_on_this_machine_is_found_with_its_key(tmp_path: Path) -> None:
    be_up(tmp_path)
    assert way(find_access()) == ("http://127.0.0.1:8003", "tw_machine")


def test_a_profile_in_use_goes_before_it(tmp_path: Path) -> None:
    be_up(tmp_path)
    Profiles().keep("lab", "https://lab.example/", "tw_lab")
    assert way(find_access()) == ("https://lab.example", "tw_lab")


def test_the_environment_goes_before_the_profile_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    Profiles().keep("lab", "https://lab.example", "tw_lab")
    monkeypatch.setenv("TRAINWRIGHT_URL", "https://other.example")
    monkeypatch.setenv("TRAINWRIGHT_API_KEY", "tw_other")
    assert way(find_access()) == ("https://other.example", "tw_other")
    assert way(find_access(profile="lab")) == ("https://lab.example", "tw_lab")


def test_a_key_goes_to_its_own_address_only(tmp_path: Path) -> None:
    be_up(tmp_path)
    Profiles().keep("lab", "https://lab.example", "tw_lab")
    assert way(find_access("https://elsewhere.example")) == ("https://elsewhere.example", None)
    assert way(find_access("https://elsewhere.example", profile="lab")) == ("https://elsewhere.example", None)
    assert way(find_access("https://lab.example/")) == ("https://lab.example", "tw_lab")
    assert way(find_access("http://127.0.0.1:8003")) == ("http://127.0.0.1:8003", "tw_machine")


def test_keys_are_kept_where_only_their_owner_reads(tmp_path: Path) -> None:
    profiles = Profiles()
    profiles.path.parent.mkdir(parents=True)
    profiles.path.touch(0o644)
    profiles.keep("lab", "https://lab.example", "tw_lab")
    assert stat.S_IMODE(profiles.path.stat().st_mode) == 0o600
    assert [path.name for path in profiles.path.parent.iterdir()] == ["profiles.json"]


def test_a_profile_is_used_and_forgotten() -> None:
    profiles = Profiles()
    profiles.keep("lab", "https://lab.example", "tw_lab")
    profiles.keep("home", "https://home.example", None)
    profiles.use("lab")
    assert (Profiles().current, Profiles().names()) == ("lab", ["home", "lab"])
    profiles.forget("lab")
    assert (Profiles().current, Profiles().names()) == (None, ["home"])
    assert "tw_lab" not in json.dumps(json.loads(profiles.path.read_text()))


def test_a_profile_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError, match="lab"):
        find_access(profile="lab")


def test_data_are_kept_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRAINWRIGHT_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", "/share")
    assert data_folder() == Path("/share/trainwright")
    monkeypatch.setenv("TRAINWRIGHT_HOME", "/home")
    assert data_folder() == Path("/home")
