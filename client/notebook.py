"""What a notebook shows of a job and of its curves: HTML that stands still and asks for nothing, every word escaped."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .resources import Job, Metrics

__all__ = ["job_card", "metrics_card"]

WIDTH, HEIGHT, MOST_POINTS = 160, 28, 320
COLORS = {"succeeded": "#1a7f37", "failed": "#cf222e", "cancelled": "#9a6700"}


def job_card(job: "Job") -> str:
    """Where a job is, how far, and what came of it."""
    color = COLORS.get(job.status, "#0969da")
    title = f'<b>{escape(job.name or job.id)}</b> <span style="color:{color}">{escape(job.status)}</span>'
    rows = [("job", job.id), ("reason", job.status_reason), ("progress", _progress(job))]
    rows += [("failure", f"{job.failure.code}: {job.failure.message}")] if job.failure else []
    rows += [("best", _figures((job.summary or {}).get("best") or {}))]
    rows += [("warning", f"{warning.pointer}: {warning.detail}") for warning in job.warnings]
    return _card(title, [f"<td>{escape(name)}</td><td>{escape(text)}</td>" for name, text in rows if text])


def metrics_card(metrics: "Metrics") -> str:
    """A sparkline for each curve, with its first and its last value."""
    curves = {name: values for name, values in metrics.columns.items() if name not in ("step", "epoch")}
    rows = [
        f"<td>{escape(name)}</td><td>{_figure(values[0])}</td><td>{_sparkline(values, name)}</td>"
        f"<td>{_figure(values[-1])}</td>"
        for name, values in curves.items()
        if values
    ]
    return _card(f"<b>{escape(metrics.job_id)}</b> by {metrics.interval}", rows)


def _card(title: str, rows: Iterable[str]) -> str:
    return f"<div>{title}<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table></div>"


def _progress(job: "Job") -> str:
    progress = job.progress or {}
    return f"epoch {progress.get('epoch', 0)} of {progress.get('epochs') or '?'}" if progress else ""


def _figures(values: "dict[str, float | None]") -> str:
    shown = [name for name in values if name.startswith("validation/")] or list(values)
    return ", ".join(f"{name} {_figure(values[name])}" for name in shown[:4])


def _figure(value: float | int | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _sparkline(values: Sequence[float | int | None], name: str) -> str:
    """An inline SVG; the line is broken where there is no value."""
    shown = values[:: max(1, len(values) // MOST_POINTS)]
    return (
        f'<svg role="img" aria-label="{escape(name)}" width="{WIDTH}" height="{HEIGHT}">'
        f'<path d="{_path(shown)}" fill="none" stroke="currentColor" stroke-width="1.5"/></svg>'
    )


def _path(values: Sequence[float | int | None]) -> str:
    known = [value for value in values if value is not None]
    low, high = min(known, default=0), max(known, default=0)
    path, command = "", "M"
    for index, value in enumerate(values):
        if value is not None:
            x = index / max(len(values) - 1, 1) * WIDTH
            y = HEIGHT - 2 - (value - low) / ((high - low) or 1) * (HEIGHT - 4)
            path += f"{command}{x:.1f} {y:.1f}"
        command = "M" if value is None else "L"
    return path
