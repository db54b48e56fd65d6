"""Results of benchmarks: docs/benchmarks.json, and the tables of docs/benchmarks.md that are made of it.

Usage: python -m benchmarks.report, to write the tables again.
"""

import json
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = DOCS / "benchmarks.json"
PAGE = DOCS / "benchmarks.md"

HEAD = """# How fast it is

Written by the scripts of `benchmarks/`; run one yourself and the page tells of your machine. Contestants are processes
of their own that take turns, A B C A B C …, each after a warm-up; a rate is the median of its rounds, with the lowest
and the highest beside it. All have the same cores and the same environment: glibc's allocator keeps freed memory, as
it does for our trainers. *Processor time* is that of the contestant and its children for one example; *other load*
is how many cores everybody else kept busy at worst: where it is not near 0, the rates say little and the processor
times more.

What a contestant does can be read in `benchmarks/contestants/`: the same network, batch, loss, optimizer and kinds of
augmentation; only training steps are measured, without evaluation. Ours goes through a spec
(`benchmarks/workloads/`) and the engine that `python -m worker train` and every trainer run.
"""

EXPECTED = {
    "training/fashion": "`python -m benchmarks.training`",
    "training/cifar": "`python -m benchmarks.training cifar`",
    "training/vectors": "`python -m benchmarks.training vectors`",
    "api/postgres": "`python -m benchmarks.api postgres`",
    "api/sqlite": "`python -m benchmarks.api sqlite`",
    "growth/postgres": "`python -m benchmarks.growth`",
}
"""What has a benchmark, and how it is run."""

UNMEASURED = """
## Not measured here

{missing}Image folders of larger pictures, the service's overhead on a job of a minute, download throughput of
checkpoints, the time from a POST to the first step, replicas, and anything on a GPU have no benchmark yet.
Nothing is claimed about them.
"""


def record(name: str, result: dict[str, Any]) -> None:
    """Keep a result in place of the last one of its name, and write the page anew."""
    results = read()
    results[name] = result
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    write()


def read() -> dict[str, Any]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def write() -> None:
    results = read()
    sections = [section(result) for _, result in sorted(results.items())]
    missing = [command for name, command in EXPECTED.items() if name not in results]
    waiting = f"No result is kept yet of {', '.join(missing)}.\n\n" if missing else ""
    PAGE.write_text(HEAD + "".join(sections) + UNMEASURED.format(missing=waiting))


def section(result: dict[str, Any]) -> str:
    return table(result) if "columns" in result else contestants(result)


def table(result: dict[str, Any]) -> str:
    """Rows as they are."""
    lines = [f"| {' | '.join(map(str, row))} |" for row in (result["columns"], *result["rows"])]
    return "\n".join([*heading(result), lines[0], "|---" * len(result["columns"]) + "|", *lines[1:]]) + "\n"


def heading(result: dict[str, Any]) -> list[str]:
    return [
        f"\n## {result['title']}\n",
        f"`{result['command']}`, {result['when']}, {result['rounds']} rounds: {result['cores']} cores of "
        f"{result['processor']}, Python {result['python']}. {result['about']}\n",
    ]


def contestants(result: dict[str, Any]) -> str:
    rows = result["contestants"]
    unit = result["unit"]
    first = next((row["rate"] for row in rows if row["name"] == result["ours"]), None)
    lines = [
        *heading(result),
        f"| contestant | {unit}/s | lowest – highest | ours against it | processor time | other load | versions |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: -row["rate"]):
        against = "" if first is None else f"{first / row['rate']:.2f}×"
        versions = ", ".join(f"{name} {number}" for name, number in row["versions"].items())
        lines.append(
            f"| {row['name']} | {row['rate']:,.0f} | {row['lowest']:,.0f} – {row['highest']:,.0f} | {against} "
            f"| {row['cpu_microseconds']:,.0f} µs | {row['other_load']:.2f} | {versions} |"
        )
    left_out = [f"Left out: {name} ({why})." for name, why in result["left_out"].items()]
    return "\n".join(lines) + "\n" + "".join(f"\n{line}\n" for line in left_out)


if __name__ == "__main__":
    write()
