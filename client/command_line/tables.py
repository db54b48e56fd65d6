"""What is shown of the service's answers, as tables."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ..resources import Checkpoint, Comparison, Dataset, Job, Metrics, Repetition, Sample, SampleList
from .session import plain
from .sparkline import sparkline

__all__ = ["bytes_text", "checkpoint_table", "comparison_tables", "curve_table", "dataset_table", "figure", "job_table",
           "key_table", "manifest_table", "preview_tables", "result_table", "sample_table",
           "skipped_facts"]  # fmt: skip

VERDICTS = {"healthy": "green", "vanishing": "yellow", "exploding": "red", "dead": "red"}
COLORS = {"running": "cyan", "succeeded": "green", "ready": "green", "failed": "red", "cancelled": "yellow"}


def job_table(jobs: Iterable[Job]) -> Table:
    table = _table("JOB", "NAME", "STATUS", "PROGRESS", "AGE")
    for job in jobs:
        table.add_row(job.id, plain(job.name or ""), _status(job.status), _progress(job), _age(job.created_at))
    return table


def dataset_table(datasets: Iterable[Dataset]) -> Table:
    table = _table("DATA SET", "NAME", "STATUS", "CONTENT", "AGE")
    for dataset in datasets:
        row = (dataset.id, plain(dataset.name), _status(dataset.status), _content(dataset), _age(dataset.created_at))
        table.add_row(*row)
    return table


def checkpoint_table(checkpoints: Iterable[Checkpoint]) -> Table:
    table = _table("CHECKPOINT", "KIND", "EPOCH", "STEP", "SIZE", "", "SHA256")
    for each in checkpoints:
        best = Text("best", style="green") if each.is_best else ""
        table.add_row(
            each.id, each.kind, str(each.epoch), str(each.step), bytes_text(each.bytes), best, each.sha256[:16]
        )
    return table


def curve_table(metrics: Metrics) -> Table:
    """One line for each curve: where it began, its way, where it ended, and its lowest and highest value."""
    table = _table("CURVE", "FIRST", "", "LAST", "LOWEST", "HIGHEST")
    for name, values in metrics.columns.items():
        known = [value for value in values if value is not None]
        if name in ("step", "epoch") or not known:
            continue
        ends = (figure(min(known)), figure(max(known)))
        table.add_row(name, figure(values[0]), Text(sparkline(values), style="cyan"), figure(values[-1]), *ends)
    return table


def comparison_tables(comparison: Comparison) -> list[Table]:
    """Where the specs differ, and what came of it."""
    names = [plain(job.name or job.id) for job in comparison.jobs]
    ids = [job.id for job in comparison.jobs]
    specs = _table("SPEC", *names)
    for difference in comparison.differences:
        values = [plain(str(difference.values[id_])) if id_ in difference.values else "–" for id_ in ids]
        specs.add_row(plain(difference.pointer), *values)
    best = _table("BEST", *names)
    best.add_row("status", *(_status(job.status) for job in comparison.jobs))
    for metric in dict.fromkeys(name for job in comparison.jobs for name in job.best or {}):
        best.add_row(metric, *(figure((job.best or {}).get(metric)) for job in comparison.jobs))
    return [specs, best, *(_noise_table(group, comparison) for group in comparison.repetitions)]


def _noise_table(group: Repetition, comparison: Comparison) -> Table:
    """The mean of jobs that differ only in the seed, and by how much they stray from it."""
    names = [plain(job.name or job.id) for job in comparison.jobs if job.id in group.jobs]
    table = _table(f"ONLY THE SEED DIFFERS: {', '.join(names)}", "MEAN", "± STD", "LOWEST", "HIGHEST")
    for metric, noise in group.metrics.items():
        table.add_row(metric, *map(figure, (noise.mean, noise.std, noise.minimum, noise.maximum)))
    return table


def sample_table(samples: SampleList) -> Table:
    """A line for each example: its place, what it is, and what it looks like as far as words can say."""
    table = _table("PLACE", "IS", "CONTENT")
    for sample in samples.data:
        table.add_row(str(sample.index), plain(_target(sample.target)), plain(_looks(sample)))
    return table


def _target(target: str | Sequence[str | float | None] | None) -> str:
    if target is None or isinstance(target, str):
        return target or ""
    return ", ".join(each if isinstance(each, str) else figure(each) for each in target)


def _looks(sample: Sample) -> str:
    more = f", and {sample.left_out:,} more" if sample.left_out else ""
    match sample.values:
        case None:
            return f"{sample.image.width}×{sample.image.height} pixels" if sample.image else ""
        case list(numbers):
            return ", ".join(map(figure, numbers)) + more
        case cells:
            shown = (f"{name}: {value if isinstance(value, str) else figure(value)}" for name, value in cells.items())
            return ", ".join(shown) + more


def result_table(summary: Mapping[str, Any]) -> Table:
    """The best and the last value of each metric."""
    best, last = summary.get("best") or {}, summary.get("last") or {}
    table = _table("METRIC", "BEST", "LAST")
    names = dict.fromkeys([*best, *last])
    for name in sorted(names, key=lambda name: (name != "epoch", not name.startswith("validation/"))):
        table.add_row(name, figure(best.get(name)), figure(last.get(name)))
    return table


def preview_tables(
    schedule: Mapping[str, Any], start: Mapping[str, Any], examples: Mapping[str, Any]
) -> Iterator[Table | Text]:
    """The way of the learning rate, the verdict on the start, its layers, and what the augmentation changes."""
    rate = _table("LEARNING RATE", "FIRST", "PEAK", "LAST", "STEPS")
    bars = Text(sparkline(_evenly(schedule)), style="cyan")
    ends = (figure(schedule["first"]), figure(schedule["peak"]), figure(schedule["last"]))
    rate.add_row(bars, *ends, figure(schedule["total_steps"]))
    yield rate
    yield from (Text(plain(note), style="dim") for note in schedule["notes"])
    yield Text.assemble((f"\n{start['verdict']}", VERDICTS.get(start["verdict"], "")), f": {plain(start['detail'])}")
    if start["advice"]:
        yield Text(plain(start["advice"]))
    layers = _table("LAYER", "START", "WEIGHTS", "OUTPUTS", "DEAD", "GRADIENT", "VERDICT")
    for layer in start["layers"]:
        dead = "–" if layer["dead_share"] is None else f"{layer['dead_share']:.0%}"
        spreads = (_spread(layer, "weight"), _spread(layer, "activation"))
        verdict = Text(layer["verdict"], style=VERDICTS.get(layer["verdict"], ""))
        layers.add_row(plain(layer["name"]), layer["start"], *spreads, dead, figure(layer["gradient_norm"]), verdict)
    yield layers
    if examples["operations"]:
        changes = _table("AUGMENTATION", "CHANGED", "OF")
        for each in examples["operations"]:
            changed = figure(each["changed"]) if each["acts"] else "begins later"
            changes.add_row(each["type"], changed, figure(examples["examples"]))
        yield changes


def key_table(rows: Sequence[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(Text(name, style="dim"), plain(value))
    return table


def manifest_table(manifest: Mapping[str, Any]) -> Table:
    """What the data are: every fact in a line, and how many examples each class has in each split."""
    facts = [("kind", manifest["kind"])]
    facts += [("size", "×".join(map(str, manifest["size"])))] if isinstance(manifest.get("size"), list) else []
    facts += [("classes", ", ".join(map(str, manifest["classes"])))] if manifest.get("classes") else []
    facts += [(f"column {column['name']}", _column(column)) for column in manifest.get("columns", [])]
    facts += [(f"split {name}", f"{split['examples']:,} examples") for name, split in manifest["splits"].items()]
    return key_table(facts + skipped_facts(manifest.get("skipped", [])))


def skipped_facts(skipped: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """What is not in the data, and why, a line each."""
    return [("skipped", f"{entry['entry']}: {entry['reason']}") for entry in skipped]


def figure(value: float | int | None) -> str:
    """A number as people read it."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def bytes_text(count: float) -> str:
    """A size, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _spread(layer: Mapping[str, Any], what: str) -> str:
    mean, std = layer[f"{what}_mean"], layer[f"{what}_std"]
    return "–" if mean is None or std is None else f"{figure(mean)} ± {figure(std)}"


def _evenly(schedule: Mapping[str, Any], points: int = 400) -> list[float]:
    """The rate at even distances in time: the points of the curve lie closer where it turns."""
    steps, rates, last = schedule["steps"], schedule["learning_rate"], schedule["total_steps"]
    wanted = [1 + (last - 1) * place // max(points - 1, 1) for place in range(points)]
    return [rates[max(0, bisect_right(steps, step) - 1)] for step in wanted]


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _status(status: str) -> Text:
    return Text(status, style=COLORS.get(status, ""))


def _progress(job: Job) -> str:
    progress = job.progress or {}
    if not progress.get("epoch"):
        return plain(job.status_reason) if job.status == "queued" else ""
    return f"epoch {progress['epoch']}/{progress.get('epochs') or '?'}"


def _content(dataset: Dataset) -> str:
    if dataset.failure is not None:
        return plain(dataset.failure.detail)
    if dataset.manifest is None:
        return plain(dataset.status_reason)
    splits = dataset.manifest["splits"]
    counts = ", ".join(f"{split['examples']:,} {plain(name)}" for name, split in splits.items())
    return f"{dataset.manifest['kind']}: {counts}"


def _column(column: Mapping[str, Any]) -> str:
    if "categories" in column:
        return f"{column['type']}: {', '.join(map(str, column['categories']))}"
    extent = f", from {column['minimum']:g} to {column['maximum']:g}" if "minimum" in column else ""
    return f"{column['type']}{extent}"


def _age(moment: datetime) -> str:
    seconds = (datetime.now(UTC) - moment).total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
