"""What deep learning promises of starts, clipping and sparsity, and whether the spec and the engine do it.

Four claims, each a few small runs of several seeds: thirty plain layers learn from He's start and not from others, a
recurrent network survives a high rate only with clipping, the proximal L1 gives exact zeros where the penalty gives
none, and a small network on multi-hot text with random, Xavier's and He's start.

Usage: python -m benchmarks.behaviours [--images IMAGES.npz] [CLAIM...], with train_images, train_labels, test_images
and test_labels; the digits that come with the service are taken where none is named. The tables of docs/behaviours.md
and the numbers in docs/behaviours.json are written anew for these data and claims, the others stay.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.spec import check, parse_spec, resolve
from worker.ingest import ingest
from worker.training import CheckpointReady, Diverged, EpochDone, Finished, load_dataset, train
from worker.training.data import read_manifest

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "local/digits.npz"
PAGE, NUMBERS = ROOT / "docs/behaviours.md", ROOT / "docs/behaviours.json"
PROCESSES = 2
"""Each with one thread."""

Words = dict[str, Any]
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Claim:
    """What is promised, and the runs that show it."""

    title: str
    source: str
    """Who has said so."""
    setting: str
    data: str
    """`images`, `rows` (images with enough rows for a long sequence) or `texts`."""
    words: Words
    """What all runs have in common."""
    variants: Mapping[str, Words]
    """What each says besides."""
    metrics: tuple[str, ...]
    seeds: int


def sgd(rate: float) -> Words:
    return {"type": "sgd", "learning_rate": rate, "momentum": 0.9}


def length(steps: int) -> Words:
    return {"steps": steps, "batch_size": 64}


def proximal(mode: str, optimizer: Words) -> Words:
    penalty = {"type": "l1", "weight": 0.001, "target": ["hidden.0"], "mode": mode}
    return {"optimizer": optimizer, "regularization": [penalty]}


CLAIMS: dict[str, Claim] = {
    "starts": Claim(
        "Thirty plain layers and their start",
        "He et al. 2015, arXiv:1502.01852: a net of thirty layers converges from their start and stalls from Glorot's.",
        "`mlp` of 30 hidden layers of 256 with ReLU, no norms; SGD 0.01 with momentum 0.9; 300 steps of 64 images.",
        "images",
        {"network": {"type": "mlp", "hidden": [256] * 30}, "optimizer": sgd(0.01), "training": length(300)},
        {
            "He, `kaiming_normal`": {"initialization": {"type": "kaiming_normal"}},
            "`orthogonal`, gain √2": {"initialization": {"type": "orthogonal", "gain": 2**0.5}},
            "Glorot, `xavier_normal`": {"initialization": {"type": "xavier_normal"}},
            "√(1 / inputs), `xavier_normal` with `fan_in`": {
                "initialization": {"type": "xavier_normal", "mode": "fan_in"}
            },
            "PyTorch's, `default`": {"initialization": {"type": "default"}},
            "`uniform` from 0 to 0.01": {"initialization": {"type": "uniform", "low": 0.0, "high": 0.01}},
        },
        ("accuracy",),
        seeds=3,
    ),
    "clipping": Claim(
        "A recurrent network at a high rate, with and without clipping",
        "Pascanu et al. 2013, arXiv:1211.5063: gradients of recurrent networks explode, and clipping their norm helps.",
        "`rnn` of width 64 with ReLU over the rows of an image; SGD 0.1; 1,250 steps of 64 images.",
        "rows",
        {
            "network": {"type": "rnn", "width": 64, "activation": "relu"},
            "optimizer": {"type": "sgd", "learning_rate": 0.1},
            "training": length(1250),
        },
        {
            "no clipping": {},
            "`global_norm` 1": {"clipping": {"type": "global_norm", "max_norm": 1.0}},
        },
        ("diverged", "accuracy", "clipped"),
        seeds=4,
    ),
    "zeros": Claim(
        "Exact zeros under L1: the penalty and the proximal step",
        'Parikh & Boyd 2014, "Proximal algorithms": subgradient steps do not land on 0, proximal ones do.',
        "`mlp` of 128; `l1` of 0.001 on the kernel of its first layer; 1,500 steps of 64 images.",
        "images",
        {"network": {"type": "mlp", "hidden": [128]}, "training": length(1500)},
        {
            "SGD 0.05, momentum 0.9, penalty": proximal("penalty", sgd(0.05)),
            "SGD 0.05, momentum 0.9, proximal": proximal("proximal", sgd(0.05)),
            "Adam 0.001, penalty": proximal("penalty", {"type": "adam"}),
            "Adam 0.001, proximal": proximal("proximal", {"type": "adam"}),
        },
        ("zeros", "unused", "accuracy"),
        seeds=3,
    ),
    "small": Claim(
        "Multi-hot text in 16 – 16 – 1 and its start",
        "Glorot & Bengio 2010; He et al. 2015: the spread of a start must fall with the number of inputs.",
        "`sequential` of dense 16, 16 and 1 with ReLU on 4,000 synthetic texts of 10,000 words, 2,400 to train on; "
        "`binary_cross_entropy`, RMSprop 0.001; 20 epochs in batches of 512.",
        "texts",
        {
            "dataset": {"id": "here", "validation": {"fraction": 0.4}},
            "network": {
                "type": "sequential",
                "layers": [
                    {"type": "dense", "units": 16, "activation": "relu"},
                    {"type": "dense", "units": 16, "activation": "relu"},
                    {"type": "dense", "units": 1},
                ],
            },
            "loss": {"type": "binary_cross_entropy"},
            "optimizer": {"type": "rmsprop", "learning_rate": 0.001},
            "training": {"epochs": 20, "batch_size": 512},
        },
        {
            "`rand · 0.01`, `uniform` from 0 to 0.01": {
                "initialization": {"type": "uniform", "low": 0.0, "high": 0.01}
            },
            "√(1 / inputs), `xavier_normal` with `fan_in`": {
                "initialization": {"type": "xavier_normal", "mode": "fan_in"}
            },
            "√(2 / inputs), `kaiming_normal`": {"initialization": {"type": "kaiming_normal"}},
        },
        ("epochs to 80 %", "accuracy", "loss"),
        seeds=3,
    ),
}


WORDS = {
    "accuracy": "validation accuracy, %",
    "loss": "validation loss",
    "diverged": "runs that diverged",
    "clipped": "clipped steps of the last epoch, %",
    "zeros": "weights that are exactly 0, %",
    "unused": "inputs that no unit reads, %",
    "epochs to 80 %": "epochs until the validation accuracy is 80 %",
}
"""What the columns are called."""

Numbers = dict[str, float | None]
"""Of one run, by the metrics of its claim; none where the run had no end."""


def run(packed: Path, words: Words) -> Numbers:
    """Trains this spec on packed data, on one thread."""
    torch.set_num_threads(1)
    manifest = read_manifest(packed)
    spec = parse_spec({"dataset": {"id": "here", "validation": {"split": "test"}}, **words})
    errors, _ = check(spec, manifest)
    assert not errors, errors
    spec = resolve(spec, manifest)
    events = train(spec, load_dataset(packed, spec, packed / "cache"))
    numbers: Numbers = {"diverged": 0.0}
    try:
        for event in events:
            numbers |= numbers_of(event, numbers)
    except Diverged as end:
        return {"diverged": 1.0, "at": float(end.step)}
    return numbers


def numbers_of(event: object, before: Numbers) -> Numbers:
    match event:
        case EpochDone(epoch=epoch, metrics=metrics):
            arrived = "epochs to 80 %" not in before and metrics["validation/accuracy"] >= 0.8
            clipped: Numbers = {"clipped": 100.0 * metrics["train/clipped_share"]}
            return {**clipped, "epochs to 80 %": float(epoch)} if arrived else clipped
        case CheckpointReady(kind="last", weights=weights):
            kernel = next(value for name, value in weights.items() if name.endswith("weight"))
            zero = kernel == 0.0
            return {"zeros": 100.0 * zero.float().mean().item(), "unused": 100.0 * zero.all(0).float().mean().item()}
        case Finished(last=last):
            return {"accuracy": 100.0 * last["validation/accuracy"], "loss": last["validation/loss"]}
        case _:
            return {}


def jobs_of(claim: Claim) -> Iterator[tuple[str, Words]]:
    """(variant, spec without its data) of every run."""
    for variant, words in claim.variants.items():
        for seed in range(claim.seeds):
            yield variant, {**claim.words, **words, "seed": seed}


def measure(claim: Claim, packed: Path, pool: ProcessPoolExecutor) -> dict[str, list[Numbers]]:
    """Variant → the numbers of its seeds."""
    jobs = list(jobs_of(claim))
    found: dict[str, list[Numbers]] = {variant: [] for variant in claim.variants}
    for (variant, _), numbers in zip(
        jobs, pool.map(run, [packed] * len(jobs), [words for _, words in jobs]), strict=True
    ):
        found[variant].append(numbers)
    return found


# Data


def images(source: Path) -> Arrays:
    """At most 8,000 images to train on and 2,000 to validate on, (examples, height, width) uint8."""
    with np.load(source) as arrays:
        return {name: array[: 8000 if name.startswith("train") else 2000] for name, array in arrays.items()}


def rows(arrays: Arrays) -> Arrays:
    """The same images, each pixel as many until there are 24 rows or more."""
    factor = -(-24 // arrays["train_images"].shape[1])
    return {
        name: array.repeat(factor, 1).repeat(factor, 2) if name.endswith("images") else array
        for name, array in arrays.items()
    }


VOCABULARY, LENGTH, TELLING = 10_000, 120, 400


def texts(count: int = 4_000) -> Arrays:
    """Which words of a vocabulary stand in a text, (texts, words) of 0 and 1, and which of two kinds it is.

    Words are drawn by Zipf's law; one in four of a text from the few hundred that its kind prefers.
    """
    random = np.random.default_rng(0)
    usual = 1.0 / np.arange(1, VOCABULARY + 1)
    inputs = np.zeros((count, VOCABULARY), dtype=np.uint8)
    labels = random.integers(0, 2, count)
    preferred = random.permutation(VOCABULARY)[:TELLING].reshape(2, -1)
    for text, label in zip(inputs, labels, strict=True):
        text[random.choice(VOCABULARY, LENGTH, p=usual / usual.sum())] = 1
        text[random.choice(preferred[label], LENGTH // 4)] = 1
        text[random.choice(preferred[1 - label], LENGTH // 6)] = 1
    return {"inputs": inputs, "targets": labels}


def pack(folder: Path, name: str, arrays: Arrays) -> Path:
    source = folder / f"{name}.npz"
    np.savez(source, **arrays)  # type: ignore[arg-type]
    ingest(source, folder / name, filename=source.name)
    source.unlink()
    return folder / name


# The page

HEAD = """# What starts, clipping and sparsity do

Written by `python -m benchmarks.behaviours`, through the job spec and the engine alone. A cell
says the mean of the seeds, and their lowest and highest in brackets. Seconds are those of a machine that did other
things, too.
"""


def page(measured: Mapping[str, Any]) -> str:
    parts = [HEAD]
    for name, claims in sorted(measured.items()):
        parts.append(f"## On {name}\n")
        parts += [
            f"{table(CLAIMS[key], claims[key]['runs'])}\n{claims[key]['environment']}\n"
            for key in CLAIMS
            if key in claims
        ]
    return "\n".join(parts)


def table(claim: Claim, found: Mapping[str, list[Numbers]]) -> str:
    head = ["", *(WORDS[metric] for metric in claim.metrics)]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for variant in claim.variants:
        cells = (cell(metric, found[variant]) for metric in claim.metrics)
        lines.append(f"| {' | '.join([variant, *cells])} |")
    return f"### {claim.title}\n\n{claim.source}\n\n{claim.setting} {claim.seeds} seeds.\n\n" + "\n".join(lines) + "\n"


def cell(metric: str, runs: list[Numbers]) -> str:
    values = [value for one in runs if (value := one.get(metric)) is not None]
    if metric == "diverged":
        steps = ", ".join(f"{one['at']:.0f}" for one in runs if one.get("at") is not None)
        return f"{sum(values):.0f} of {len(runs)}" + (f", at step {steps}" if steps else "")
    if not values:
        return "–" if metric != "epochs to 80 %" else "never"
    digits = 3 if metric == "loss" else 0 if metric.startswith("epochs") else 1
    low, mean, high = (f"{value:.{digits}f}" for value in (min(values), statistics.mean(values), max(values)))
    some = "" if len(values) == len(runs) else f", {len(values)} of {len(runs)} runs"
    return f"{mean} ({low} – {high}{some})" if low != high else mean + some


def environment(seconds: float) -> str:
    machine = f"{processor()}, {PROCESSES} processes of one thread each"
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, NumPy {np.__version__}"
    return f"{machine}; {versions}; {seconds:.0f} s; {time.strftime('%Y-%m-%d', time.gmtime())}."


def processor() -> str:
    try:
        described = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        described = []
    names = [line.partition(":")[2].strip() for line in described if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()} ({os.cpu_count()} cores)"


def main(source: Path, wanted: list[str]) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="trainwright-behaviours-") as name,
        ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool,
    ):
        pictures = images(source)
        sources = {"images": pictures, "rows": rows(pictures), "texts": texts()}
        packed = {kind: pack(Path(name), kind, arrays) for kind, arrays in sources.items()}
        for key in wanted:
            began = time.monotonic()
            runs = measure(CLAIMS[key], packed[CLAIMS[key].data], pool)
            sys.stdout.write(table(CLAIMS[key], runs) + "\n")
            sys.stdout.flush()
            keep(source.stem, key, {"environment": environment(time.monotonic() - began), "runs": runs})


def keep(data: str, claim: str, record: Mapping[str, Any]) -> None:
    """Writes the numbers of one claim and the whole page."""
    measured = json.loads(NUMBERS.read_text()) if NUMBERS.exists() else {}
    measured.setdefault(data, {})[claim] = record
    NUMBERS.write_text(json.dumps(measured, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(page(measured))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, default=DIGITS, help="an npz of images")
    parser.add_argument("claims", nargs="*", metavar="CLAIM", help=f"of {', '.join(CLAIMS)}; all if none is named")
    asked = parser.parse_args()
    main(asked.images, asked.claims or list(CLAIMS))
