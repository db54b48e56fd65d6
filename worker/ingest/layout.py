"""How an image folder is laid out: which entries are images, and to which split and class each belongs."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from worker.ingest.archive import Entry
from worker.ingest.errors import IngestError, printable
from worker.ingest.limits import Limits
from worker.ingest.skips import Skips
from worker.ingest.splits import TRAIN, split_named

IMAGES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp"})
OTHER_IMAGES = frozenset({".gif", ".bmp", ".tif", ".tiff", ".heic", ".avif", ".ppm", ".pgm", ".svg", ".ico"})
ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".npz"})

EXPECTED = "train/<class>/<image> and test/<class>/<image>, or <class>/<image> for a data set without a test part"


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of the archive, with the split and the class that its folders name."""

    split: str
    label: str
    entry: Entry


def arrange(entries: list[Entry], skips: Skips, limits: Limits) -> list[Sample]:
    """The images of an archive, by split, class and path; folders around the whole are ignored.

    Raises IngestError when an archive lies inside, no image does, or no folder names a class.
    """
    images = [entry for entry in entries if _is_image(entry, skips)]
    if not images:
        raise IngestError("no_images", f"The archive holds no PNG, JPEG or WebP image. Expected is {EXPECTED}.")
    depth = _wrapping_depth(images)
    in_splits = _has_splits({entry.parts[depth] for entry in images})
    samples = [sample for entry in images if (sample := _placed(entry, depth, in_splits, skips)) is not None]
    if not samples:
        raise IngestError(
            "no_class_folders", f"No image lies in a folder that names its class. Expected is {EXPECTED}."
        )
    _check_classes(samples, limits)
    return sorted(samples, key=lambda sample: (sample.split, sample.label, sample.entry.parts))


def _is_image(entry: Entry, skips: Skips) -> bool:
    suffix = PurePosixPath(entry.parts[-1]).suffix.lower()
    if any(part == "__MACOSX" or part.startswith(".") for part in entry.parts):
        skips.add(entry.name, "a hidden file or folder of the operating system")
    elif suffix in ARCHIVES:
        raise IngestError(
            "nested_archive",
            f"The entry {printable(entry.name)!r} is an archive inside of the archive; unpack it first.",
            entry.name,
        )
    elif suffix in OTHER_IMAGES:
        skips.add(entry.name, "an image of another kind than PNG, JPEG or WebP")
    elif suffix not in IMAGES:
        skips.add(entry.name, "not an image")
    else:
        return True
    return False


def _wrapping_depth(images: list[Entry]) -> int:
    """How many folders enclose everything: the common path, up to what names a split or must name a class."""
    first, last = images[0].parts, images[-1].parts  # entries are sorted: what these two share, all share
    shared = 0
    while shared < min(len(first), len(last)) - 1 and first[shared] == last[shared]:
        shared += 1
    shared = min(shared, min(len(entry.parts) for entry in images) - 2)
    named = next((depth for depth in range(max(shared, 0)) if split_named(first[depth]) is not None), shared)
    return max(named, 0)


def _has_splits(top: set[str]) -> bool:
    splits = {split for folder in top if (split := split_named(folder)) is not None}
    return (TRAIN in splits and len(splits) > 1) or all(split_named(folder) is not None for folder in top)


def _placed(entry: Entry, depth: int, in_splits: bool, skips: Skips) -> Sample | None:
    split = split_named(entry.parts[depth]) if in_splits else TRAIN
    folders = entry.parts[depth + in_splits : -1]
    if split is None:
        skips.add(entry.name, "outside of the folders train, test and validation")
    elif not folders:
        skips.add(entry.name, "in no folder that names its class")
    else:
        return Sample(split, folders[0], entry)
    return None


def _check_classes(samples: list[Sample], limits: Limits) -> None:
    trained = {sample.label for sample in samples if sample.split == TRAIN}
    if len(trained) > limits.classes:
        raise IngestError(
            "too_many_classes", f"{len(trained):,} folders name classes; at most {limits.classes:,} are read."
        )
    stray = next((sample for sample in samples if sample.label not in trained), None)
    if stray is not None:
        detail = (
            f"The class {printable(stray.label)!r} is in {stray.split}/ but not in train/, so it could never "
            f"be learnt. Expected is {EXPECTED}."
        )
        raise IngestError("class_without_training", detail, stray.entry.name)
