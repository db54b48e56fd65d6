"""How a run is followed: bars and curves that move on a terminal, a line now and then elsewhere."""

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ..resources import Event, Job, JobProgress
from .session import plain
from .sparkline import sparkline
from .tables import figure

__all__ = ["Screen", "screen_for"]

SHOWN = (
    "train/loss",
    "validation/loss",
    "validation/accuracy",
    "validation/f1_macro",
    "validation/r2",
    "validation/rmse",
)
"""The curves that are worth a line, as far as a job has them."""
ALSO_SHOWN = ("train/gradient_norm",)


class Screen(Protocol):
    """Shows what happens to one job, as a context manager."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    def show(self, news: Event | JobProgress) -> None: ...


def screen_for(console: Console, job: Job) -> Screen:
    return Bars(console, job) if console.is_terminal else Lines(console)


class Bars(AbstractContextManager["Bars"]):
    """A bar of steps and a sparkline for each curve."""

    def __init__(self, console: Console, job: Job) -> None:
        self._job = job
        self._status = job.status
        self._progress = Progress(
            TextColumn("{task.fields[epoch]}"), BarColumn(bar_width=30), TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(compact=True), console=console,
        )  # fmt: skip
        self._task = self._progress.add_task("", total=None, epoch="", speed="")
        self._curves: dict[str, list[float | None]] = {}
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=8)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, news: Event | JobProgress) -> None:
        if isinstance(news, JobProgress):
            self._status = news.status
            self._move(news)
        elif news.type == "epoch.completed":
            for name, value in news.data.get("metrics", {}).items():
                self._curves.setdefault(name, []).append(value)
        elif news.type.startswith("job."):
            self._status = news.type.removeprefix("job.")

    def _move(self, news: JobProgress) -> None:
        progress = news.progress or {}
        speed = progress.get("samples_per_second")
        self._progress.update(
            self._task,
            total=progress.get("steps"),
            completed=progress.get("step", 0),
            epoch=f"epoch {progress.get('epoch', 0)}/{progress.get('epochs') or '?'}",
            speed=f"{speed:,.0f} samples/s" if speed else "",
        )

    def _render(self) -> Group:
        title = Text.assemble((plain(self._job.name or self._job.id), "bold"), f"  {self._status}")
        curves = Table.grid(padding=(0, 2))
        for name in [*(name for name in SHOWN if name in self._curves), *ALSO_SHOWN]:
            values = self._curves.get(name)
            if values:
                curves.add_row(name, Text(sparkline(values), style="cyan"), figure(values[-1]))
        return Group(title, self._progress, curves)


class Lines(AbstractContextManager["Lines"]):
    """A line for each event."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return

    def show(self, news: Event | JobProgress) -> None:
        if isinstance(news, Event) and news.type != "checkpoint.created":
            self._console.print(f"{news.created_at:%H:%M:%S}  {plain(_line(news))}")


def _line(event: Event) -> str:
    if event.type != "epoch.completed":
        return event.type.removeprefix("job.")
    metrics = event.data.get("metrics", {})
    figures = [f"{name} {figure(metrics[name])}" for name in SHOWN if name in metrics]
    return f"epoch {event.data.get('epoch')}  " + "  ".join(figures)
