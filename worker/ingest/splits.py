"""The words by which people name the parts of a data set."""

TRAIN = "train"
_SPLITS = {
    "train": TRAIN,
    "training": TRAIN,
    "test": "test",
    "testing": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
}


def split_named(word: str) -> str | None:
    """The split that a folder or part of an array's name stands for, or None: `Valid` → `validation`."""
    return _SPLITS.get(word.lower())
