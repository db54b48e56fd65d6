"""The commands, in the order in which they are listed."""

from typing import Annotated

import typer

from . import curves, data, jobs, setup
from .session import program

__all__ = ["app"]

app = typer.Typer(
    name="trainwright",
    no_args_is_help=True,
    rich_markup_mode=None,  # what would draw boxes around the help takes 100 ms to load
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from ..version import __version__

        typer.echo(f"trainwright {__version__}")
        raise typer.Exit


@app.callback()
def choose(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Option("--profile", envvar="TRAINWRIGHT_PROFILE", help="A service that `trainwright login` has kept."),
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train networks on a Trainwright service.

    Data go to standard output, progress to standard error. Exit codes: 0 succeeded, 1 error, 2 usage, 3 the job was
    cancelled, 4 not allowed in, 5 the job did not succeed, 6 waited long enough, 130 detached.
    """
    context.obj = name
    program.set(context)


for command in (*jobs.COMMANDS, *curves.COMMANDS, *setup.COMMANDS):
    app.command(command.__name__.rstrip("_"))(command)
app.add_typer(data.app, name="datasets")
app.add_typer(setup.profiles, name="profiles")
