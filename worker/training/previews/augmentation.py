"""The first examples of a run as they are stored, and as its first step sees them."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from models.spec.estimate import steps_per_epoch, total_steps
from models.spec.job import JobSpec
from models.spec.task import Task
from worker.training.data import Dataset, Part
from worker.training.inputs import Feed
from worker.training.randomness import permutation
from worker.training.schedule import Clock
from worker.training.tally import Tally

EXAMPLES = 8
SMALLEST, LARGEST = 96, 128
"""Pixels of a cell's longer side: smaller images are repeated up to it, larger ones scaled down."""
GAP = 4
LEAST_SHARE = 0.1
"""Of a class, to be named."""


def preview_augmentation(spec: JobSpec, data: Dataset) -> tuple[dict[str, Any], bytes | None]:
    """What is in the picture, and the picture as a PNG: a column for each example, above as stored, below as the first
    step of the first epoch sees it. Data that are no images have no picture, but the same figures.
    """
    per_epoch = steps_per_epoch(len(data.training), spec.training.examples_per_step)
    clock = Clock(per_epoch, total_steps(spec.training, per_epoch))
    tally = Tally()
    feed = Feed(spec, data, clock, "cpu", tally)
    batch = permutation(spec.seed, 0, len(data.training))[: spec.training.batch_size]
    inputs, targets = feed.training_batch(data.training, batch, epoch=0, step=0)
    shown = batch[:EXAMPLES]
    told: dict[str, Any] = {"examples": len(batch), "operations": list(operations(spec, tally)), "picture": None}
    if not feed.is_image:
        return told, None
    stored, labels = feed.numbers(data.training, shown)
    changed = inputs[: len(shown)]
    if feed.scale is not None:
        changed = (changed - feed.offset) / feed.scale
    rows = [[cell_of(image) for image in images] for images in (stored, changed)]
    height, width = rows[0][0].shape[:2]
    said = [[label_of(target, data.task) for target in row] for row in (labels, targets[: len(shown)])]
    told["picture"] = {
        "columns": len(shown),
        "rows": 2,
        "cell_width": width,
        "cell_height": height,
        "gap": GAP,
        "cells": list(cells(data.training, shown, said)),
    }
    return told, png_of(rows)


def operations(spec: JobSpec, tally: Tally) -> Iterator[dict[str, Any]]:
    """What each entry of the list did to the first batch; one that begins later was offered no example."""
    counts = tally.read()
    for place, operation in enumerate(spec.augmentation):
        figures = {
            name: int(counts.get(f"augmentation/{place}/{name}", 0)) for name in ("examples", "chosen", "changed")
        }
        yield {"pointer": f"/augmentation/{place}", "type": operation.type, "acts": figures["examples"] > 0, **figures}


def cells(part: Part, positions: Tensor, labels: list[list[str]]) -> Iterator[dict[str, Any]]:
    for row, (kind, words) in enumerate(zip(("original", "augmented"), labels, strict=True)):
        for column, (position, label) in enumerate(zip(positions.tolist(), words, strict=True)):
            example = position if part.rows is None else int(part.rows[position])
            stated = "as it is stored" if kind == "original" else "as the first step sees it"
            alt = f"Example {example} of the training data, {stated}: {label}"
            yield {"row": row, "column": column, "kind": kind, "example": example, "label": label, "alt": alt}


def label_of(target: Tensor, task: Task) -> str:
    """A target in words: a class, shares of classes where examples were mixed, labels, or numbers."""
    if task.kind == "regression":
        return ", ".join(f"{value:.4g}" for value in target.flatten().tolist())
    names = [str(name) for name in task.classes]
    if not target.is_floating_point():
        return names[int(target)]
    shares = [1.0 - float(target), float(target)] if target.dim() == 0 else target.tolist()
    named = sorted(zip(shares, names, strict=True), key=lambda pair: -pair[0])
    said = [
        name if share > 1.0 - LEAST_SHARE else f"{name} {share:.0%}" for share, name in named if share >= LEAST_SHARE
    ]
    return ", ".join(said[:3]) or "no label"


def cell_of(image: Tensor) -> NDArray[np.uint8]:
    """(channels, height, width) from 0 to 255 as (h, w, 3) uint8, in the size in which it is shown."""
    pixels = image[:3] if len(image) >= 3 else image[:1].expand(3, -1, -1)
    shown: NDArray[np.uint8] = pixels.clamp(0, 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    longer = max(shown.shape[:2])
    if longer <= SMALLEST:
        times = max(1, SMALLEST // longer)
        return shown.repeat(times, 0).repeat(times, 1)
    if longer > LARGEST:
        height, width = (max(1, round(side * LARGEST / longer)) for side in shown.shape[:2])
        return np.asarray(Image.fromarray(shown).resize((width, height), Image.Resampling.BOX))
    return shown


def png_of(rows: list[list[NDArray[np.uint8]]]) -> bytes:
    """The cells beside and below one another; what is between them is transparent."""
    height, width = rows[0][0].shape[:2]
    columns = len(rows[0])
    sheet = np.zeros((len(rows) * (height + GAP) - GAP, columns * (width + GAP) - GAP, 4), np.uint8)
    for row, images in enumerate(rows):
        for column, image in enumerate(images):
            top, left = row * (height + GAP), column * (width + GAP)
            sheet[top : top + height, left : left + width, :3] = image
            sheet[top : top + height, left : left + width, 3] = 255
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "png")
    return buffer.getvalue()
