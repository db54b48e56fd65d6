"""Files on their way, with a bar."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, TextColumn, TransferSpeedColumn
from rich.progress import Progress as Bars

from .. import ConnectionFailed, Dataset
from ..download import Progress, file_sha256
from ..sending import is_large
from .session import Session, plain

__all__ = ["bar", "dataset_of", "upload_file"]


@contextmanager
def bar(session: Session, title: str) -> Iterator[Progress]:
    """A bar on standard error, if that is a terminal."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bars(*columns, console=session.err, disable=not session.err.is_terminal) as bars:
        task = bars.add_task(plain(title), total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def upload_file(session: Session, file: Path, name: str | None = None) -> Dataset:
    """A new data set, once it is ready."""
    try:
        with bar(session, file.name) as progress:
            dataset = session.client.datasets.upload(file, name, progress=progress)
    except (ConnectionFailed, KeyboardInterrupt):
        if is_large(file):
            session.err.print("The same command goes on with it: what has arrived is not sent again.")
        raise
    session.err.print(f"{dataset.id} is being taken in …")
    with _stages(session) as watch:
        return session.client.datasets.wait(dataset, watch=watch)


@contextmanager
def _stages(session: Session) -> Iterator[Callable[[Dataset], None]]:
    """A bar for what a worker is at with a data set."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Bars(*columns, console=session.err, disable=not session.err.is_terminal, transient=True) as bars:
        task = bars.add_task("waiting for a worker", total=None)

        def watch(dataset: Dataset) -> None:
            if dataset.progress is not None:
                stage, done, total = (dataset.progress[name] for name in ("stage", "done", "total"))
                bars.update(task, description=plain(str(stage)), completed=done, total=total)

        yield watch


def dataset_of(session: Session, file: Path) -> Dataset:
    """The data set that was made of this very file, or a new one."""
    sha256 = file_sha256(file).hex()
    for dataset in session.client.datasets.list():
        if dataset.status == "ready" and dataset.upload_sha256 == sha256:
            session.err.print(f"{plain(file.name)} is {dataset.id} already.")
            return dataset
    return upload_file(session, file)
