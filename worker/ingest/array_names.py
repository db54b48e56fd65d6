"""The names under which people save data sets in `.npz` files, and what each stands for."""

from dataclasses import dataclass
from typing import Literal

from worker.ingest.splits import TRAIN, split_named

Role = Literal["inputs", "targets", "classes"]

_INPUTS = frozenset({"images", "image", "inputs", "input", "x", "data", "vectors", "features"})
_TARGETS = frozenset({"labels", "label", "targets", "target", "y"})
_CLASSES = frozenset({"class_names", "classes", "label_names"})

EXPECTED = (
    "train_images and train_labels (and test_images, test_labels), x_train and y_train, "
    "inputs and targets, or images and labels"
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an array is for; `split` is None for class names."""

    role: Role
    split: str | None


def meaning(name: str) -> Meaning | None:
    """Read an array's name: `x_train`, `test_labels`, `inputs`, `class_names`; None when it says nothing."""
    lowered = name.lower()
    if lowered in _CLASSES:
        return Meaning("classes", None)
    words = lowered.split("_")
    splits = [split for word in words if (split := split_named(word)) is not None]
    roles = [role for word in words if (role := _role(word)) is not None]
    if len(roles) != 1 or len(splits) + 1 != len(words) or len(words) > 2:
        return None
    return Meaning(roles[0], splits[0] if splits else TRAIN)


def _role(word: str) -> Role | None:
    if word in _INPUTS:
        return "inputs"
    return "targets" if word in _TARGETS else None
