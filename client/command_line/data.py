"""Data sets."""

from pathlib import Path
from typing import Annotated

import typer

from .session import AsJson, Session

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Data to train on: list, upload, show, look at samples, delete."
)
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
def samples(
    dataset: DatasetId,
    split: Annotated[str, typer.Option(help="Which part of it.")] = "train",
    seed: Annotated[int | None, typer.Option(help="In the random order of this seed.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many.")] = 20,
    save: Annotated[Path | None, typer.Option(help="Write images as PNG files into this folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show examples of a data set, or save its images to look at."""
    session = Session(as_json)
    found = session.client.datasets.samples(dataset, split=split, seed=seed, limit=limit)
    if save is not None:
        from base64 import b64decode

        save.mkdir(parents=True, exist_ok=True)
        for sample in found.data:
            if sample.image is not None and sample.image.png is not None:
                (save / f"{split}-{sample.index:06d}.png").write_bytes(b64decode(sample.image.png))
    if as_json:
        session.print_json(found)
        return
    from .tables import sample_table

    session.out.print(sample_table(found))


@app.command()
def delete(dataset: DatasetId) -> None:
    """Delete a data set that no job names."""
    Session().client.datasets.delete(dataset)
