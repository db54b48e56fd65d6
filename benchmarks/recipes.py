"""Four recipes over HTTP, from upload to downloaded checkpoint: how well they learn, and how long they take.

The two on tables stand beside scikit-learn's MLP of the same widths, with its own defaults, on the same split: the very
numbers that the engine trains on, of several seeds. Usage: python -m benchmarks.recipes DATA [RECIPE...], where DATA is
a folder with fashion-mnist.npz, pima-indians-diabetes.csv and winequality-red.csv.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from client import Client
from local.background import Background
from local.folder import DataFolder
from local.service import Service
from models.spec import parse_spec
from worker.alone import packed_folder, resolved
from worker.training.data import Part, load_dataset
from worker.training.inputs import Feed
from worker.training.run import Run

SPECS = Path(__file__).with_name("recipes")
THREADS = 2


@dataclass(frozen=True)
class Recipe:
    """What is trained on what, and what is read off."""

    file: str
    metric: str
    seeds: int = 1
    peer: type[MLPClassifier] | type[MLPRegressor] | None = None


RECIPES = {
    "fashion": Recipe("fashion-mnist.npz", "validation/accuracy"),
    "diabetes": Recipe("pima-indians-diabetes.csv", "validation/accuracy", seeds=5, peer=MLPClassifier),
    "wine": Recipe("winequality-red.csv", "validation/r2", seeds=5, peer=MLPRegressor),
    "fashion_rows": Recipe("fashion-mnist.npz", "validation/accuracy"),
}


@dataclass(frozen=True)
class Outcome:
    """Of one run."""

    score: float
    """At the end, not at its best: the validation part has chosen nothing."""
    seconds: float
    """From the POST to the last row of the job, as a client sees it."""


def main(data: Path, names: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="trainwright-recipes-") as folder:
        service = Service(
            DataFolder(Path(folder) / "service"), port=None, say=say, worker_slots=1, trainer_threads=THREADS
        )
        with Background(service) as background, Client(background.running.url, background.running.api_key) as client:
            for name in names:
                recipe, spec = RECIPES[name], json.loads((SPECS / f"{name}.json").read_text())
                dataset = client.datasets.wait(client.datasets.upload(data / recipe.file), 120)
                outcomes = []
                for seed in range(recipe.seeds):
                    asked = {**spec, "seed": seed, "dataset": {**spec["dataset"], "id": dataset.id}}
                    outcomes.append(run(client, asked, recipe, Path(folder)))
                report(name, recipe, outcomes)
                if recipe.peer is not None:
                    (Path(folder) / name).mkdir()
                    packed = packed_folder(data / recipe.file, Path(folder) / name)
                    scores = [peer_score(recipe, {**spec, "seed": seed}, packed) for seed in range(recipe.seeds)]
                    say(f"    scikit-learn's {recipe.peer.__name__}: {spelled(scores)}")


def run(client: Client, spec: dict[str, Any], recipe: Recipe, folder: Path) -> Outcome:
    began = time.monotonic()
    job = client.jobs.wait(client.jobs.create(spec))
    seconds = time.monotonic() - began
    if job.status != "succeeded" or job.summary is None:
        raise SystemExit(f"{job.name} {job.status}: {job.failure}")
    client.checkpoints.download(client.checkpoints.last(job), folder / f"{job.id}.safetensors")
    return Outcome(job.summary["last"][recipe.metric], seconds)


def peer_score(recipe: Recipe, spec: dict[str, Any], packed: Path) -> float:
    """Accuracy or R² of scikit-learn's network on the part that the engine evaluates on, after the same scaling."""
    ours = resolved(parse_spec(spec), packed, earlier=None)
    data = load_dataset(packed, ours, packed)
    assert recipe.peer is not None
    assert data.validation is not None
    feed = Run(ours, data, "cpu", None).feed
    network = recipe.peer(hidden_layer_sizes=tuple(spec["network"]["hidden"]), random_state=spec["seed"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(*arrays(feed, data.training))
    return float(network.score(*arrays(feed, data.validation)))


def arrays(feed: Feed, part: Part) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the network would get and give: (examples, features) and (examples,)."""
    inputs, targets = feed.evaluation_batch(part, torch.arange(len(part)))
    return inputs.numpy(), targets.flatten().numpy()


def report(name: str, recipe: Recipe, outcomes: list[Outcome]) -> None:
    scores, seconds = [one.score for one in outcomes], [one.seconds for one in outcomes]
    say(f"{name}: {recipe.metric} {spelled(scores)}; {statistics.median(seconds):.1f} s from POST to end")


def spelled(scores: list[float]) -> str:
    if len(scores) == 1:
        return f"{scores[0]:.4f}"
    return f"median {statistics.median(scores):.4f} ({min(scores):.4f} to {max(scores):.4f}, {len(scores)} seeds)"


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("recipes", nargs="*", choices=[*RECIPES, []], default=[*RECIPES])
    given = parser.parse_args()
    main(given.data, given.recipes)
