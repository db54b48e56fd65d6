"""Whether the augmentations fit the data, and those that are legal but usually not meant."""

from collections.abc import Iterator

from .augmentation import Augmentation, OnImages
from .errors import SpecError, SpecWarning
from .geometric import ImageDataGenerator, RandomCrop
from .job import JobSpec
from .manifest import ImageManifest, Manifest
from .mixing import CutMix, Mixing
from .photometric import ColorJitter, Cutout, Grayscale
from .task import Task
from .vectors import FeatureDropout, GaussianNoise, SwapNoise


def augmentation_errors(spec: JobSpec, manifest: Manifest, task: Task | None) -> Iterator[SpecError]:
    """What these data cannot be augmented with."""
    for index, augmentation in enumerate(spec.augmentation):
        pointer = f"/augmentation/{index}"
        if task is not None and task.vocabulary:
            detail = f"`{augmentation.type}` changes numbers, and tokens are names of words"
            yield SpecError(pointer, "not_numbers", detail)
        elif not isinstance(manifest, ImageManifest):
            if isinstance(augmentation, OnImages | CutMix) and not isinstance(augmentation, GaussianNoise):
                detail = f"`{augmentation.type}` changes images, and the data are vectors"
                yield SpecError(pointer, "not_images", detail)
        elif isinstance(augmentation, FeatureDropout | SwapNoise):
            detail = f"`{augmentation.type}` changes vectors, and the data are images"
            yield SpecError(pointer, "not_vectors", detail)
        elif task is not None:
            yield from _too_large(augmentation, pointer, min(task.input_shape[1:]))
            if manifest.channels == 1:
                yield from _colorless(augmentation, pointer)
        if task is not None and isinstance(augmentation, Mixing):
            yield from _unmixable(augmentation, spec, task, pointer)


def _unmixable(augmentation: Mixing, spec: JobSpec, task: Task, pointer: str) -> Iterator[SpecError]:
    """Mixed targets are shares of classes, or numbers in between for `mixup` with `mse`."""
    if task.kind == "regression" and isinstance(augmentation, CutMix):
        detail = "A part of another image changes a number in no known way: `cutmix` needs classes"
        yield SpecError(pointer, "loss_does_not_fit", detail)
        return
    of_labels = ["binary_cross_entropy"]
    of_classes = of_labels if task.kind == "multi_label" else ["cross_entropy", *of_labels]
    fitting = ["mse"] if task.kind == "regression" else of_classes
    if spec.loss is not None and spec.loss.type not in fitting:
        detail = f"`{augmentation.type}` gives targets between others, and {spec.loss.type} is not made for them"
        yield SpecError(pointer, "loss_does_not_fit", detail, fitting, fitting[0])


def _too_large(augmentation: Augmentation, pointer: str, side: int) -> Iterator[SpecError]:
    """`side` is the shorter one of the image."""
    if isinstance(augmentation, RandomCrop) and augmentation.padding >= side:
        detail = f"The images are {side} pixels on their shorter side: a crop could miss them altogether"
        yield SpecError(f"{pointer}/padding", "larger_than_the_image", detail, suggestion=str(max(1, side // 8)))

    if isinstance(augmentation, Cutout) and augmentation.length >= 2 * side:
        detail = f"The images are {side} pixels on their shorter side: nothing would be left of some"
        yield SpecError(f"{pointer}/length", "larger_than_the_image", detail, suggestion=str(max(2, side // 2)))


def _colorless(augmentation: Augmentation, pointer: str) -> Iterator[SpecError]:
    detail = "The images have one channel: there is no color to change"
    if isinstance(augmentation, Grayscale):
        yield SpecError(pointer, "no_color", detail)
    elif isinstance(augmentation, ColorJitter):
        for field in ("saturation", "hue"):
            if getattr(augmentation, field):
                yield SpecError(f"{pointer}/{field}", "no_color", detail, suggestion="0")


def augmentation_warnings(spec: JobSpec, task: Task) -> Iterator[SpecWarning]:
    """What is probably not meant."""
    yield from _hardly_any_shear(spec)
    yield from _flipped_digits(spec, task)


def _hardly_any_shear(spec: JobSpec) -> Iterator[SpecWarning]:
    for index, technique in enumerate(spec.augmentation):
        if (
            isinstance(technique, ImageDataGenerator)
            and technique.shear_unit == "degrees"
            and 0.0 < technique.shear_range < 1.0
        ):
            detail = (
                "Keras reads this in degrees since 2017, so it hardly shears; "
                'if radians are meant, say "shear_unit": "radians"'
            )
            yield SpecWarning(f"/augmentation/{index}/shear_range", "hardly_any_shear", detail)


def _flipped_digits(spec: JobSpec, task: Task) -> Iterator[SpecWarning]:
    digits = len(task.classes) == 10 and all(name.strip("0") in {*"123456789", ""} for name in task.classes)
    for index, technique in enumerate(spec.augmentation):
        if digits and _flips(technique):
            detail = (
                "The classes are called 0 to 9: if they are digits, one in the mirror is another sign or none; if they "
                "are only numbered, name them in the data set"
            )
            yield SpecWarning(f"/augmentation/{index}", "flipped_digits", detail)


def _flips(technique: Augmentation) -> bool:
    if isinstance(technique, ImageDataGenerator):
        return technique.horizontal_flip or technique.vertical_flip
    return technique.type in ("horizontal_flip", "vertical_flip") and technique.p > 0.0
