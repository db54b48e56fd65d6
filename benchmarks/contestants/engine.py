"""This product's engine, through a spec: what `python -m worker train` and every trainer of the service run."""

import json
from pathlib import Path

import torch

from benchmarks.contestants.race import Race, enter
from models.spec import parse_spec
from worker.alone import resolved
from worker.arenas import choose_arenas
from worker.training import Control, load_dataset, train
from worker.training.data import read_manifest


def run(race: Race) -> None:
    torch.set_num_threads(race.threads)
    words = json.loads((Path(__file__).parents[1] / f"workloads/{race.workload}.json").read_bytes())
    words["training"] |= {"precision": race.precision, "replicas": race.replicas}
    packed = race.data / "packed"
    spec = resolved(parse_spec(words), packed, None)
    choose_arenas(spec, read_manifest(packed))
    data = load_dataset(packed, spec, race.data / "cache")
    for _ in train(spec, data, control=Control(after_step=race.step_done)):
        pass


if __name__ == "__main__":
    run(enter("torch"))
