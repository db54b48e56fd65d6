"""Data sets."""

from pathlib import Path
from typing import Annotated

import typer

from .session import AsJson, Session

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Data to train on: list, upload, show, delete.")
DatasetId = Annotated[str, typer.Argument(metavar="DATASET", help="Its id.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List data sets, the newest first."""
    session = Session(as_json)
    if as_json:
        session.print_json(session.client.datasets.list())
    else:
        from .tables import dataset_table

        session.out.print(dataset_table(session.client.datasets.list()))


@app.command()
def upload(
    file: Annotated[Path, typer.Argument(help="A zip or tar of images, an npz, a csv or a parquet.")],
    name: Annotated[str | None, typer.Option(help="What to call it; the file's name unless said.")] = None,
    as_json: AsJson = False,
) -> None:
    """Upload a file and wait until it can be trained on; prints the data set's id."""
    from .uploading import upload_file

    session = Session(as_json)
    dataset = upload_file(session, file, name)
    if as_json:
        session.print_json(dataset)
    else:
        typer.echo(dataset.id)


@app.command()
def show(dataset: DatasetId, as_json: AsJson = False) -> None:
    """Show what is in a data set."""
    session = Session(as_json)
    found = session.client.datasets.get(dataset)
    if as_json:
        session.print_json(found)
        return
    from .tables import dataset_table, key_table, manifest_table, skipped_facts

    session.out.print(dataset_table([found]))
    if found.manifest is not None:
        session.out.print(manifest_table(found.manifest))
    if found.failure is not None:
        refused = skipped_facts((found.failure.model_extra or {}).get("skipped", []))
        session.out.print(key_table([("failed", found.failure.detail), *refused]))


@app.command()
def delete(dataset: DatasetId) -> None:
    """Delete a data set that no job names."""
    Session().client.datasets.delete(dataset)
