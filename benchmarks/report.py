"""Results of benchmarks: docs/benchmarks.json, and the tables of docs/benchmarks.md that are made of it.

Usage: python -m benchmarks.report, to write the tables again.
"""

import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import spread

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = DOCS / "benchmarks.json"
PAGE = DOCS / "benchmarks.md"

HEAD = """# How fast it is

Written by the scripts of `benchmarks/`; run one yourself and the page tells of your machine. Contestants are processes
of their own that take turns of so many steps, A B C A B C …, each after a warm-up, and stand still between them, for
the same step may take half as long again a few seconds later. *Ours against it* is our rate divided by the contestant's
in the turn beside it, both in the same precision: float32, or bfloat16 where its name says so. Rates and ratios are
medians of all turns, with the quartiles beside them; rates of those who did not take turns with each other do not
compare, so the order is that of the ratios. All have the same cores and threads; where a table says nothing else,
glibc's allocator keeps freed memory for all, as it does for our trainers. *Processor time* is that of the contestant
and its children for one example; *other load* is how many cores everybody else kept busy in its median turn: where it
is not near 0, the rates say little and the processor times more.

What a contestant does can be read in `benchmarks/contestants/`: the same network, batch, loss, optimizer and kinds of
augmentation; only training steps are measured, without evaluation. One difference is left as people write it: L2 on
images is a penalty on the kernels for ours, the best loop and Keras, before clipping, and the optimizer's weight decay
of all weights for other loops in PyTorch, after it, which is a little less work. Ours goes through a spec
(`benchmarks/workloads/`) and the engine that `python -m worker train` and every trainer run.
"""

EXPECTED = {
    "training/fashion": "`python -m benchmarks.training`",
    "training/cifar": "`python -m benchmarks.training cifar`",
    "training/vectors": "`python -m benchmarks.training vectors`",
    "images/jpeg64": "`python -m benchmarks.images jpeg64`",
    "images/jpeg224": "`python -m benchmarks.images jpeg224`",
    "checkpoints/adam": "`python -m benchmarks.checkpoints`",
    "profiles": "`python -m benchmarks.profiles`",
    "overhead/minute": "`python -m benchmarks.overhead`",
    "memory/pictures": "`python -m benchmarks.past_memory`",
    "slots/two-jobs": "`python -m benchmarks.slots`",
    "api/postgres": "`python -m benchmarks.api postgres`",
    "api/sqlite": "`python -m benchmarks.api sqlite`",
    "growth/postgres": "`python -m benchmarks.growth`",
    "start": "`python -m benchmarks.start`",
}
"""What has a benchmark, and how it is run."""

UNMEASURED = """
## Not measured here

{missing}Nothing here has run on a GPU, and nothing is claimed about one.
"""


def record(name: str, result: dict[str, Any]) -> None:
    """Keep a result in place of the last one of its name, and write the page anew."""
    results = read()
    results[name] = result
    RESULTS.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    write()


def read() -> dict[str, Any]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def write() -> None:
    PAGE.write_text(page(read()))


def page(results: dict[str, Any]) -> str:
    sections = [section(result) for _, result in sorted(results.items())]
    missing = [command for name, command in EXPECTED.items() if name not in results]
    waiting = f"No result is kept yet of {', '.join(missing)}.\n\n" if missing else ""
    return HEAD + "".join(sections) + UNMEASURED.format(missing=waiting)


def section(result: dict[str, Any]) -> str:
    """By what kind of result it is; a contest unless it says otherwise."""
    match result.get("kind", "contest"):
        case "contest":
            return contest_section(result)
        case "checkpoints":
            return checkpoints_section(result)
        case "memory":
            return memory_section(result)
        case "slots":
            return slots_section(result)
        case "table":
            return table(result)
        case unknown:
            raise ValueError(f"no table is known for {unknown}")


def opening(result: dict[str, Any], about: str) -> list[str]:
    return [
        f"\n## {result['title']}\n",
        f"`{result['command']}`, {result['when']}: {machine(result)}. {about}\n",
    ]


def machine(result: dict[str, Any]) -> str:
    memory = f", {result['memory'] / 1e9:.0f} GB of memory" if "memory" in result else ""
    torch = f", PyTorch {result['torch']}" if "torch" in result else ""
    others = "".join(f", {name} {number}" for name, number in result.get("versions", {}).items())
    return f"{result['cores']} cores of {result['processor']}{memory}, Python {result['python']}{torch}{others}"


def checkpoints_section(result: dict[str, Any]) -> str:
    lines = opening(
        result,
        f"Adam, so three numbers for each parameter; medians of {result['rounds']}, with the lowest and the highest; "
        f"other load {worst_load(result):.2f} cores. Training waits for one copy, held "
        "against a plain copy of the same tensors into memory that is there; the first one also asks for that memory. "
        "The share is of training with the default, a checkpoint after each epoch and every "
        f"{result['cadence']:.0f} s inside a longer one: an epoch is taken for {result['steps_of_an_epoch']} steps, "
        "Fashion-MNIST's in batches of 128, of the seconds that were measured beside. Shorter epochs have more of it: "
        "how long they are where it is 1 % stands beside. Writing, "
        "hashing and storing come after it, beside the training, held against writing the same bytes to one file and "
        "syncing it. Downloads are of the weights alone, all from the page cache.",
    )
    lines += [
        "| network | bytes | training waits | plain copy | ratio | the first time | an epoch | share of training "
        "| 1 % where epochs take | in the store | raw write + fsync | ratio |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        blocked, copied, durable, written = (
            statistics.median(row[name]) for name in ("blocked", "copied", "durable", "written")
        )
        epoch = result["steps_of_an_epoch"] * statistics.median(row["steps"])
        share = math.ceil(epoch / result["cadence"]) * blocked / epoch
        lines.append(
            f"| {row['network']} | {megabytes(row['bytes'])} | {ms(row['blocked'])} | {ms(row['copied'])} "
            f"| {blocked / copied:.2f}× | {ms([row['blocked_first']])} "
            f"| {epoch:.1f} s | {share:.3%} | {100 * blocked:.1f} s | {ms(row['durable'])} | {ms(row['written'])} "
            f"| {durable / written:.2f}× |"
        )
    lines += [
        "\n| network | weights | the client, hashed and synced | curl from the API | curl from the disk | a read |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        size = row["download_bytes"]
        ways = ("client", "curl", "curl_file", "read")
        rates = " | ".join(f"{spread([size / each / 1e6 for each in row[how]])} MB/s" for how in ways)
        lines.append(f"| {row['network']} | {megabytes(size)} | {rates} |")
    return "\n".join(lines) + "\n"


def memory_section(result: dict[str, Any]) -> str:
    limit = result["limit"]
    allowed = (
        "no limit could be set" if limit is None else f"{megabytes(limit)} of memory are allowed, page cache included"
    )
    lines = opening(
        result,
        f"Pictures of 64 × 64 pixels and W4's network; {allowed}. The first epoch finds nothing in memory. Resident "
        "counts the pages of the file that are mapped, which the system takes back at will. Other load "
        f"{worst_load(result):.2f} cores.",
    )
    lines += [
        "| packed | ingest | resident, ingest | first epoch | second epoch | resident, training |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        epochs = [f"{seconds:.1f} s, {row['examples'] / seconds:,.0f} images/s" for seconds in row["epochs"]]
        lines.append(
            f"| {megabytes(row['bytes'])} | {row['ingest_seconds']:.1f} s, "
            f"{row['bytes'] / row['ingest_seconds'] / 1e6:,.0f} MB/s | {megabytes(row['ingest_resident'])} "
            f"| {epochs[0]} | {epochs[1]} | {megabytes(row['resident'])} |"
        )
    return "\n".join(lines) + "\n"


def slots_section(result: dict[str, Any]) -> str:
    lines = opening(
        result,
        f"W1 for {result['epochs']} epochs, twice: from the first POST until both have succeeded; {result['rounds']} "
        "rounds. A trainer has the worker's cores shared among its slots.",
    )
    lines += ["| slots | threads of each trainer | both done after | lowest – highest |", "|---|---|---|---|"]
    for row in result["rows"]:
        between = f"{row['lowest']:.1f} – {row['highest']:.1f} s"
        lines.append(f"| {row['slots']} | {row['threads']} | {row['seconds']:.1f} s | {between} |")
    return "\n".join(lines) + "\n"


def worst_load(result: dict[str, Any]) -> float:
    """Cores that others kept busy beside the row for which it was worst."""
    return max(float(row["other_load"]) for row in result["rows"])


def ms(seconds: Sequence[float]) -> str:
    """Of all rounds."""
    return f"{spread([1000 * each for each in seconds], 1)} ms"


def megabytes(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"


def table(result: dict[str, Any]) -> str:
    """Rows as they are."""
    lines = [f"| {' | '.join(map(str, row))} |" for row in (result["columns"], *result["rows"])]
    return "\n".join([*heading(result), lines[0], "|---" * len(result["columns"]) + "|", *lines[1:]]) + "\n"


def heading(result: dict[str, Any]) -> list[str]:
    return [
        f"\n## {result['title']}\n",
        f"`{result['command']}`, {result['when']}, {result['rounds']} rounds: {machine(result)}. {result['about']}\n",
    ]


def contest_section(result: dict[str, Any]) -> str:
    rows = result["contestants"]
    unit = result["unit"]
    lines = [
        *heading(result),
        f"| contestant | {unit}/s | quartiles | ours against it, same precision | quartiles | processor time "
        "| other load | versions |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: ("bfloat16" in row["name"], row["against"])):
        (slow, fast), (behind, ahead) = row["rates"], row["againsts"]
        versions = ", ".join(f"{name} {number}" for name, number in row["versions"].items())
        lines.append(
            f"| {row['name']} | {row['rate']:,.0f} | {slow:,.0f} – {fast:,.0f} | {row['against']:.2f}× "
            f"| {behind:.2f} – {ahead:.2f} | {row['cpu_microseconds']:,.0f} µs | {row['other_load']:.2f} | {versions} |"
        )
    left_out = [f"Left out: {name} ({why})." for name, why in result["left_out"].items()]
    return "\n".join(lines) + "\n" + "".join(f"\n{line}\n" for line in left_out)


if __name__ == "__main__":
    write()
