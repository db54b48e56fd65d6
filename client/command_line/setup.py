"""The way to a service, and what it can do."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from .exits import Exit
from .failures import Refused
from .session import AsJson, Session

if TYPE_CHECKING:
    from .. import CatalogEntry
    from ..access import Profiles

__all__ = ["COMMANDS", "profiles"]

profiles = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Services by name: list, use, forget.")
ProfileName = Annotated[str, typer.Argument(metavar="NAME")]


def catalog(
    family: Annotated[str | None, typer.Argument(help="Only this family: optimizer, schedule, …")] = None,
    type_: Annotated[
        str | None, typer.Argument(metavar="TYPE", help="Only this technique, with its parameters.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a spec can say. Families, techniques, parameters."""
    session = Session(as_json)
    if family is None:
        everything = session.client.catalog()
        if as_json:
            session.print_json(everything)
        else:
            from .tables import key_table

            session.out.print(key_table([(name, "  ".join(types)) for name, types in everything.families.items()]))
        return
    found = session.client.catalog_family(family)
    if type_ is not None:
        if type_ not in found.types:
            raise Refused(f"{family} has no {type_}; it has {', '.join(found.types)}")
        session.print_json(found.types[type_]) if as_json else _show_technique(session, found.types[type_])
    elif as_json:
        session.print_json(found)
    else:
        from .tables import key_table

        session.out.print(key_table([(name, entry.summary) for name, entry in found.types.items()]))


def open_(
    job: Annotated[str | None, typer.Argument(metavar="JOB", help="Its id, its name, or `last`.")] = None,
    print_only: Annotated[bool, typer.Option("--print", help="Print the address, and open nothing.")] = False,
) -> None:
    """Open a job, or all of them, in a browser."""
    session = Session()
    address = f"{session.access.url}/jobs" + (f"/{session.job_id(job)}" if job else "")
    sys.stdout.write(address + "\n")
    if not print_only:
        import webbrowser

        webbrowser.open(address)


def login(
    url: Annotated[str | None, typer.Argument(help="Where the service is.")] = None,
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="What to call it.")] = "default",
) -> None:
    """Keep the address and key of a service. The key is asked for, or read from standard input."""
    from .. import Client
    from ..access import Profiles

    url = (url or typer.prompt("Address", default=Session().access.url, err=True)).rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise Refused(f"{url} is no address: it begins with https:// or http://")
    key = typer.prompt("API key", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    with Client(url, key.strip()) as client:
        next(client.jobs.list(), None)
    profiles = Profiles()
    profiles.keep(name, url, key.strip())
    Session().err.print(f"{url} is used from now on, as the profile {name!r} in {profiles.path}.")


def doctor(as_json: AsJson = False) -> None:
    """Look for what is in the way."""
    session = Session(as_json)
    findings = list(_examine(session))
    if as_json:
        session.print_json({"findings": [dict(zip(("ok", "what"), finding, strict=True)) for finding in findings]})
    else:
        for ok, what in findings:
            session.out.print(f"{'ok  ' if ok else 'FAIL'}  {what}", style=None if ok else "red")
    raise typer.Exit(Exit.SUCCEEDED if all(ok for ok, _ in findings) else Exit.ERROR)


COMMANDS = (catalog, open_, login, doctor)


@profiles.command("list")
def list_profiles(as_json: AsJson = False) -> None:
    """List the services that are kept; keys are not shown."""
    from ..access import Profiles

    kept = Profiles()
    found = [(name, access.url) for name in kept.names() if (access := kept.get(name)) is not None]
    if as_json:
        Session().print_json({"current": kept.current, "profiles": dict(found)})
    else:
        for name, url in found:
            sys.stdout.write(f"{'*' if name == kept.current else ' '} {name}  {url}\n")


@profiles.command()
def use(name: ProfileName) -> None:
    """Use a service from now on."""
    _known(name).use(name)


@profiles.command()
def forget(name: ProfileName) -> None:
    """Forget a service and its key."""
    _known(name).forget(name)


def _known(name: str) -> "Profiles":
    from ..access import Profiles

    kept = Profiles()
    if name not in kept.names():
        raise Refused(f"there is no profile {name!r}")
    return kept


def _examine(session: Session) -> Iterator[tuple[bool, str]]:
    """What was looked at, one after the other; the first thing in the way is the last one looked at."""
    from ..version import __version__

    yield True, f"trainwright {__version__} on Python {sys.version.split()[0]}"
    yield True, f"{session.access.url}, according to {session.access.source}"
    for look in (_version, _key, _workers):
        ok, what = look(session)
        yield ok, what
        if not ok:
            return


def _version(session: Session) -> tuple[bool, str]:
    from .. import TrainwrightError

    try:
        found = session.client.version()
    except TrainwrightError as error:
        return False, f"{error}: is it up (`make up`), and is the address right (`trainwright login`)?"
    return True, f"the service answers: version {found.version}, API {found.api}"


def _key(session: Session) -> tuple[bool, str]:
    from .. import APIError

    if session.access.api_key is None:
        return False, "there is no API key for it: `trainwright login`, or TRAINWRIGHT_API_KEY"
    try:
        next(session.client.jobs.list(), None)
    except APIError as error:
        return False, f"the API key is refused: {error.detail}"
    return True, "the API key is accepted"


def _workers(session: Session) -> tuple[bool, str]:
    workers = [worker for worker in session.client.workers() if worker.status == "online"]
    if not workers:
        return False, "no worker is online: jobs wait until one is"
    busy, slots = sum(worker.busy for worker in workers), sum(worker.slots for worker in workers)
    devices = ", ".join(sorted({worker.device for worker in workers}))
    return True, f"{len(workers)} worker(s) online on {devices}, {busy} of {slots} places taken"


def _show_technique(session: Session, entry: "CatalogEntry") -> None:
    import json

    from .session import plain
    from .tables import key_table

    session.out.print(plain(entry.description or entry.summary))
    rows = [("formula", entry.formula), ("source", entry.reference)]
    session.out.print(key_table([(name, text) for name, text in rows if text]))
    parameters = entry.parameters.items()
    session.out.print(key_table([(f"  {name}", _parameter(schema)) for name, schema in parameters]))
    session.out.print(json.dumps(entry.example, indent=2))


def _parameter(schema: dict[str, object]) -> str:
    default = f"default {schema['default']}; " if "default" in schema else ""
    return f"{default}{schema.get('description', '')}"
