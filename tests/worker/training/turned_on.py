"""Every technique of the catalogue in a run of a few steps, and the same run without it.

What a technique says is its example in the catalogue, with what `SMALLER` says instead, so that it acts within six
steps; where it is turned on, and what stands there else, follows from its family, or from `ELSEWHERE`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.spec import catalog
from models.spec.manifest import CategoricalColumn, NumericColumn
from tests.worker.training.little import bars, load, pack_images, pack_table, pack_vectors
from worker.training import (
    CheckpointReady,
    EpochDone,
    Event,
    Resume,
    read_checkpoint,
    save_checkpoint,
    train,
)

Words = dict[str, Any]

CNN: Words = {"type": "cnn", "widths": [4], "head": [8], "padding": "same", "pooling": "each"}
RESNET: Words = {"type": "resnet", "depth": 8, "width": 4}
SURROUNDINGS: Words = {
    "dataset": {"id": "little", "validation": {"fraction": 0.25}},
    "network": CNN,
    "optimizer": {"type": "sgd", "learning_rate": 0.05, "momentum": 0.9},
    "training": {"epochs": 2, "batch_size": 8},
}
"""24 examples to train on: six steps in all."""

VECTORS: Words = {"data": "vectors", "network": {"type": "mlp", "hidden": [8]}}
TEXTS: Words = {"data": "texts", "loss": {"type": "cross_entropy"}, "network": {"type": "mlp", "hidden": [8]}}
READ: Words = {"id": "little", "validation": {"fraction": 0.25}, "features": ["say"]}
TOKENS: Words = {"dataset": {**READ, "text": {"type": "tokens", "length": 4, "columns": ["say"]}}}
NUMBERS: Words = {"data": "numbers", "network": {"type": "mlp", "hidden": [8]}}

ELSEWHERE: dict[tuple[str, str], Words] = {
    ("text", "multi_hot"): TEXTS,
    ("text", "tokens"): {**TEXTS, "network": {"type": "gru", "width": 8}, "without": {"network": TEXTS["network"]}},
    ("layer", "embedding"): {**TEXTS, **TOKENS, "without": {"network": {"type": "rnn", "width": 4}}},
    ("augmentation", "feature_dropout"): VECTORS,
    ("augmentation", "swap_noise"): VECTORS,
    ("loss", "binary_cross_entropy"): VECTORS,
    ("loss", "mse"): {**NUMBERS, "without": {"loss": {"type": "mae"}}},
    ("loss", "mae"): NUMBERS,
    ("loss", "huber"): NUMBERS,
    ("loss", "poisson"): NUMBERS,
    ("loss", "cross_entropy"): {"without": {"loss": {"type": "hinge"}}},
    ("initialization", "default"): {"without": {"initialization": {"type": "xavier_normal"}}},
    ("optimizer", "sgd"): {"without": {"optimizer": {"type": "adam"}}},
    ("schedule", "constant"): {"without": {"schedule": {"type": "linear"}}},
    ("regularization", "drop_path"): {"network": RESNET},
    ("regularization", "alpha_dropout"): {"initialization": {"type": "lecun_normal"}},
    ("network", "mlp"): {"without": {"network": CNN}},
    ("network", "vgg"): {"data": "larger images"},
    ("initialization", "kaiming_normal"): {"without": {"initialization": {"type": "default"}}},
    ("augmentation", "equalize"): {"data": "larger images"},
    ("schedule", "plateau"): {"training": {"epochs": 3, "batch_size": 12}},
}
"""Technique → the data and words beside it, and under `without` what stands there else."""

SMALLER: dict[tuple[str, str], Words] = {
    ("network", "sequential"): {
        "layers": [
            {"type": "flatten"},
            {"type": "dense", "units": 8, "activation": "tanh"},
            {"type": "dense", "units": 4},
        ]
    },
    ("network", "mlp"): {"hidden": [8]},
    ("network", "cnn"): CNN,
    ("network", "resnet"): RESNET,
    ("network", "wide_resnet"): {"depth": 10, "widen_factor": 1},
    ("network", "vgg"): {"depth": 11},
    ("network", "convnext"): {"depths": [1, 1], "widths": [4, 8], "stem": "small"},
    ("network", "vit"): {"patch": 4, "width": 8, "depth": 1, "heads": 2},
    ("network", "rnn"): {"width": 8},
    ("network", "lstm"): {"width": 8},
    ("network", "gru"): {"width": 8},
    ("network", "transformer"): {"width": 8, "depth": 1, "heads": 2},
    ("initialization", "uniform"): {"low": -0.1, "high": 0.1},
    ("regularization", "max_norm"): {"max": 0.5},
    ("augmentation", "cutout"): {"length": 4},
    ("schedule", "step"): {"step_size": 1},
    ("schedule", "multistep"): {"milestones": ["2 steps", "4 steps"]},
    ("schedule", "exponential"): {"gamma": 0.9},
    ("schedule", "plateau"): {"patience": 0, "threshold": 0.9},
    ("clipping", "global_norm"): {"max_norm": 0.1},
    ("clipping", "norm"): {"max_norm": 0.1},
    ("clipping", "value"): {"clip_value": 0.01},
    ("averaging", "swa"): {"start": "2 steps", "every": "1 steps"},
    ("averaging", "lookahead"): {"k": 2},
}
"""Technique → what it says instead of its example."""


@dataclass(frozen=True)
class Case:
    """The words of two runs on the same data."""

    data: str
    with_it: Words
    without: Words


def names() -> Iterator[tuple[str, str]]:
    """(family, technique) of the whole catalogue."""
    return ((family, name) for family, entries in catalog().items() for name in entries)


def case_of(family: str, name: str) -> Case:
    beside = dict(ELSEWHERE.get((family, name), {}))
    data, without = beside.pop("data", "images"), beside.pop("without", {})
    around = {**SURROUNDINGS, **beside}
    technique = {**catalog()[family][name]["example"], **SMALLER.get((family, name), {})}
    return Case(data, {**around, **turned_on(family, technique, around)}, {**around, **turned_off(family), **without})


def turned_on(family: str, technique: Words, around: Words) -> Words:
    match family:
        case "regularization" | "augmentation":
            return {family: [technique]}
        case "averaging":
            return {"training": {**around["training"], "averaging": technique}}
        case "layer":
            return {"network": {"type": "sequential", "layers": layers_with(technique)}}
        case "text":
            return {"dataset": {**READ, "text": {**technique, "columns": ["say"]}}}
        case "network" | "initialization" | "loss" | "optimizer" | "schedule" | "clipping":
            return {family: technique}
        case _:
            raise LookupError(f"The family `{family}` is new: say in `turned_on` where its techniques stand in a spec")


def turned_off(family: str) -> Words:
    match family:
        case "network":
            return {"network": {"type": "mlp", "hidden": []}}
        case "layer":
            return {"network": {"type": "sequential", "layers": layers_with(None)}}
        case "text":
            return {"dataset": READ}
        case "loss" | "optimizer" | "schedule" | "initialization" | _:
            return {}


def layers_with(technique: Words | None) -> list[Words]:
    """A small `sequential` with this layer in it."""
    first: list[Words] = [{"type": "conv", "filters": 4, "groups": 1, "activation": "tanh"}]
    last: list[Words] = [{"type": "flatten"}, {"type": "dense", "units": 4}]
    if technique is None:
        return [*first, *last]
    match technique["type"]:
        case "dense":
            return [*first, last[0], technique, last[1]]
        case "global_average_pooling" | "global_max_pooling" | "flatten":
            return [*first, {"type": "max_pooling"}, technique, last[1]]
        case "embedding":
            return [{**technique, "width": 8}, {"type": "global_average_pooling"}, {"type": "dense", "units": 2}]
        case "group_norm":
            return [*first, {**technique, "groups": 2}, *last]
        case _:
            return [*first, technique, *last]


def pack(folder: Path) -> dict[str, Path]:
    """The data of the cases: four classes of images in color, two of vectors, vectors with a number, two of texts."""
    places = {name: folder / name for name in ("images", "larger images", "vectors", "numbers", "texts")}
    for place in places.values():
        place.mkdir()
    pack_images(places["images"], train=bars(32, channels=3))
    pack_images(places["larger images"], train=bars(32, size=32, channels=3))
    random = np.random.default_rng(0)
    vectors = random.normal(size=(32, 12)).astype(np.float32)
    pack_vectors(places["vectors"], vectors, (vectors.sum(1) > 0).astype(np.int64), ("low", "high"))
    numbers = np.abs(vectors.sum(1, keepdims=True)).astype(np.float32)
    pack_vectors(places["numbers"], vectors, numbers, None)
    said = random.integers(0, 4, 32)
    columns = (
        CategoricalColumn(name="say", missing=0, categories=("dark blue", "dark red", "light blue", "light red")),
        NumericColumn(name="class", missing=0, mean=0.5, std=0.5, minimum=0.0, maximum=1.0, distinct=(0.0, 1.0)),
    )
    pack_table(places["texts"], columns, np.stack([said, said > 1], 1).astype(np.float64))
    return places


@cache
def told(packed: Path, words: str) -> tuple[Event, ...]:
    """All that a run with these words, as JSON, tells."""
    return tuple(train(*load(packed, json.loads(words))))


def effect(places: dict[str, Path], family: str, name: str) -> tuple[str, float]:
    """What the technique changes, and how much."""
    case = case_of(family, name)
    with_it, without = (told(places[case.data], json.dumps(words)) for words in (case.with_it, case.without))
    return change(with_it, without)


def last_of(events: tuple[Event, ...]) -> CheckpointReady:
    return [event for event in events if isinstance(event, CheckpointReady)][-1]


def change(one: tuple[Event, ...], other: tuple[Event, ...]) -> tuple[str, float]:
    """What the technique has changed, and how much: weights of the same shapes, relative to those without it, else the
    last evaluation's loss.
    """
    weights, others = last_of(one).weights, last_of(other).weights
    if {name: value.shape for name, value in weights.items()} == {name: value.shape for name, value in others.items()}:
        distance = sum(float((weights[name] - others[name]).double().square().sum()) for name in weights)
        length = sum(float(value.double().square().sum()) for value in others.values())
        return "weights", (distance / length) ** 0.5
    losses = [
        [event.metrics["validation/loss"] for event in events if isinstance(event, EpochDone)][-1]
        for events in (one, other)
    ]
    return "validation loss", abs(losses[0] - losses[1])


def interrupted(packed: Path, words: Words, step: int, folder: Path) -> CheckpointReady:
    """The end of a run that saves itself at every step, dies behind this one and is taken up from disk."""
    spec, data = load(packed, {**words, "checkpoints": {"every": "1 steps"}})
    saved = next(event for event in train(spec, data) if isinstance(event, CheckpointReady) and event.step == step)
    save_checkpoint(saved, folder / "weights", folder / "state")
    resume: Resume = read_checkpoint(folder / "weights", folder / "state")
    return last_of(tuple(train(spec, data, resume_from=resume)))


def same_memory(one: CheckpointReady, other: CheckpointReady) -> bool:
    """Whether all that is no tensor is the same too, but for the time it took."""
    told, retold = (
        json.dumps({**checkpoint.state.progress, "seconds": 0.0}, sort_keys=True) for checkpoint in (one, other)
    )
    return told == retold


def same_bits(one: CheckpointReady, other: CheckpointReady) -> bool:
    tensors, others = {**one.weights, **one.state.tensors}, {**other.weights, **other.state.tensors}
    return tensors.keys() == others.keys() and all(torch.equal(tensors[name], others[name]) for name in tensors)
