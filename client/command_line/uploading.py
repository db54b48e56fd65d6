"""Files on their way, with a bar."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
from rich.progress import Progress as Bars

from .. import Dataset
from ..download import Progress, file_sha256
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
    with bar(session, file.name) as progress:
        dataset = session.client.datasets.upload(file, name, progress=progress)
    session.err.print(f"{dataset.id} is being taken in …")
    return session.client.datasets.wait(dataset)


def dataset_of(session: Session, file: Path) -> Dataset:
    """The data set that was made of this very file, or a new one."""
    sha256 = file_sha256(file).hex()
    for dataset in session.client.datasets.list():
        if dataset.status == "ready" and dataset.upload_sha256 == sha256:
            session.err.print(f"{plain(file.name)} is {dataset.id} already.")
            return dataset
    return upload_file(session, file)
