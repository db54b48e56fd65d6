"""Augmentations as a spec writes them, and batches that they change."""

import json
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor

from models.spec.augmentation import Augmentation
from worker.training.augmentation import augment, plan

OPERATION: TypeAdapter[Any] = TypeAdapter(Augmentation)


def operation(words: dict[str, Any]) -> Any:
    return OPERATION.validate_json(json.dumps(words))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def augmented(images: Tensor, words: list[dict[str, Any]], step: int = 0, seed: int = 0) -> Tensor:
    """The batch as ten steps an epoch and a hundred in all would have it."""
    runs = plan([operation(one) for one in words], 10, 100)
    return augment(images, runs, step, generator(seed))
