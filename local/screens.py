"""How the progress of several runs is shown: bars that move on a terminal, now and then a line elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

QUARTERS = 4
"""How often a run is worth a line where nothing can be overwritten."""


@dataclass(frozen=True)
class Standing:
    """Where a run is."""

    name: str
    status: str
    epoch: int = 0
    epochs: int = 0
    accuracy: float | None = None
    loss: float | None = None

    @property
    def figures(self) -> str:
        if self.accuracy is None or self.loss is None:
            return ""
        return f"loss {self.loss:.3f} · {self.accuracy:.1%} right"


class Screen(Protocol):
    """Something that shows standings, as a context manager."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    def show(self, standings: Sequence[Standing]) -> None: ...


def screen_for(console: Console) -> Screen:
    return Bars(console) if console.is_terminal and not console.no_color else Lines(console)


class Bars:
    """One bar for each run."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<8}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[epoch]}"),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            console=console,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, standings: Sequence[Standing]) -> None:
        tasks = {task.description: task.id for task in self._progress.tasks}
        for standing in standings:
            epoch = f"epoch {standing.epoch:>2}/{standing.epochs}" if standing.epochs else standing.status
            if standing.name not in tasks:
                self._progress.add_task(standing.name, total=standing.epochs or None, epoch=epoch, figures="")
            else:
                self._progress.update(
                    tasks[standing.name],
                    total=standing.epochs or None,
                    completed=standing.epoch,
                    epoch=epoch,
                    figures=standing.figures,
                )


class Lines:
    """A line when a run changes its state, and at each quarter of it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: dict[str, tuple[str, int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return

    def show(self, standings: Sequence[Standing]) -> None:
        for standing in standings:
            quarter = standing.epoch * QUARTERS // standing.epochs if standing.epochs else 0
            if self._told.get(standing.name) != (standing.status, quarter):
                self._told[standing.name] = (standing.status, quarter)
                epoch = f"epoch {standing.epoch}/{standing.epochs}  " if standing.epochs else ""
                line = f"  {standing.name:<8} {standing.status:<9} {epoch}{standing.figures}"
                self._console.print(line.rstrip(), highlight=False)
