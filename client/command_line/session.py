"""What every command works with: the service, and the two streams that it writes to."""

import re
import sys
from contextvars import ContextVar
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .failures import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel
    from rich.console import Console

    from .. import Client
    from ..access import Access

__all__ = ["AsJson", "JobName", "Session", "plain", "program"]

program: ContextVar[typer.Context] = ContextVar("program")
"""Of the command that runs: its object is the profile that was named."""
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
JobName = Annotated[str, typer.Argument(metavar="JOB", help="Its id, its name, or `last` for the newest.")]
JOB_ID = re.compile(r"job_[0-9a-f]{32}")
WIDE = 10_000
"""Columns where nobody looks: nothing is cut off for a program that reads."""


class Session:
    """One command's way to the service."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json

    @cached_property
    def access(self) -> "Access":
        from ..access import find_access

        try:
            return find_access(profile=program.get().obj)
        except KeyError as error:
            raise Refused(f"there is no profile {error}; `trainwright login --as NAME` makes one") from None

    @cached_property
    def client(self) -> "Client":
        from .. import Client

        client = Client(self.access.url, self.access.api_key)
        program.get().call_on_close(client.close)
        return client

    @cached_property
    def out(self) -> "Console":
        from rich.console import Console

        return Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else WIDE)

    @cached_property
    def err(self) -> "Console":
        from rich.console import Console

        return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

    def job_id(self, name: str) -> str:
        """The id of the job that somebody means."""
        if JOB_ID.fullmatch(name):
            return name
        jobs = self.client.jobs.list() if name == "last" else self.client.jobs.list(name=name)
        found = next((job.id for job in jobs if name in ("last", job.name)), None)
        if found is None:
            raise Refused("there are no jobs yet" if name == "last" else f"no job has the id or the name {name!r}")
        return found

    def print_json(self, value: "BaseModel | Iterable[BaseModel] | dict[str, Any]") -> None:
        """Print a resource, or a list of them as one array."""
        import json

        from pydantic import BaseModel

        plain_value: Any = value
        if isinstance(value, BaseModel):
            plain_value = value.model_dump(mode="json")
        elif not isinstance(value, dict):
            plain_value = [item.model_dump(mode="json") for item in value]
        sys.stdout.write(json.dumps(plain_value, indent=2, ensure_ascii=False) + "\n")


def plain(text: str) -> str:
    """Text that somebody else wrote, without what would command a terminal."""
    return "".join(each if each.isprintable() or each == "\n" else "\N{REPLACEMENT CHARACTER}" for each in text)
