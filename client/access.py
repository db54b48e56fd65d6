"""Where the service is, and the key that opens it: as told, as the environment says, as `trainwright login` kept it, or
as the one-machine service of this user left it. A key is never sent to an address that it was not kept for."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DEFAULT_URL", "Access", "Profiles", "data_folder", "find_access", "this_machine"]

DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True)
class Access:
    """A way in."""

    url: str
    api_key: str | None
    source: str
    """Who said so, in words."""


class Profiles:
    """Services by name, in a file that only its owner can read."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or _configuration_folder() / "profiles.json"
        kept = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}
        self.current: str | None = kept.get("current")
        self._known: dict[str, dict[str, str | None]] = kept.get("profiles", {})

    def names(self) -> list[str]:
        return sorted(self._known)

    def get(self, name: str) -> Access | None:
        known = self._known.get(name)
        return None if known is None else Access(str(known["url"]), known["api_key"], f"the profile {name!r}")

    def keep(self, name: str, url: str, api_key: str | None) -> None:
        """Keep a profile, and make it the one that is used unless another is named."""
        self._known[name] = {"url": url.rstrip("/"), "api_key": api_key}
        self.use(name)

    def use(self, name: str) -> None:
        self.current = name
        self._write()

    def forget(self, name: str) -> None:
        del self._known[name]
        self.current = None if self.current == name else self.current
        self._write()

    def _write(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self.path.with_suffix(f".{os.getpid()}.part")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump({"current": self.current, "profiles": self._known}, file, indent=2)
        temporary.replace(self.path)


def find_access(url: str | None = None, api_key: str | None = None, profile: str | None = None) -> Access:
    """The first that is known of: what is given, the named profile, the environment (`TRAINWRIGHT_URL` and
    `TRAINWRIGHT_API_KEY`), the profile in use, the one-machine service of this user, this machine without a key.

    Raises:
        KeyError: there is no profile of this name.
    """
    profiles = Profiles()
    if profile is not None:
        kept = profiles.get(profile)
        if kept is None:
            raise KeyError(profile)
        return Access(url or kept.url, api_key or (kept.api_key if url in (None, kept.url) else None), kept.source)
    source = "what was given" if url or api_key else "the environment"
    url, api_key = url or os.environ.get("TRAINWRIGHT_URL"), api_key or os.environ.get("TRAINWRIGHT_API_KEY")
    here = this_machine()
    kept = (profiles.get(profiles.current) if profiles.current else None) or here
    if url is None and api_key is None:
        return kept or Access(DEFAULT_URL, None, "the default: nothing else is known")
    url = (url or DEFAULT_URL).rstrip("/")
    if api_key is None:
        known = [*filter(None, map(profiles.get, profiles.names())), *([here] if here else [])]
        api_key = next((access.api_key for access in known if access.url == url), None)
    return Access(url, api_key, source)


def this_machine() -> Access | None:
    """The service that `make up` runs for this user, if it is up."""
    folder = data_folder()
    try:
        url = (folder / "url").read_text(encoding="ascii").strip()
        return Access(url, (folder / "api-key").read_text(encoding="ascii").strip(), "the service on this machine")
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None


def data_folder() -> Path:
    """Where the one-machine service keeps everything unless told otherwise: `TRAINWRIGHT_HOME`, or where the desktop's
    convention (XDG) puts the data of applications."""
    if home := os.environ.get("TRAINWRIGHT_HOME"):
        return Path(home).expanduser()
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "trainwright"


def _configuration_folder() -> Path:
    if sys.platform == "win32" and (roaming := os.environ.get("APPDATA")):
        return Path(roaming) / "trainwright"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "trainwright"
