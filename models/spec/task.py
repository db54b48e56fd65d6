"""What a job is asked to learn: derived once, from the spec and the manifest, for the check, the estimate and the
engine alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

from .dataset import Fraction, Split
from .errors import SpecError, SpecInvalid, closest
from .job import JobSpec
from .loss import BinaryCrossEntropy, CrossEntropy, Focal, Hinge, Loss
from .manifest import (
    CategoricalColumn,
    Column,
    ImageManifest,
    Manifest,
    NumericColumn,
    TableManifest,
    VectorManifest,
)

TRAIN = "train"

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """What goes in, what comes out, and how many examples there are."""

    kind: Literal["binary", "multiclass", "regression"]
    """`binary` is two classes told apart by one logit."""
    classes: tuple[str, ...]
    """Their names in the order of their indices; none for regression."""
    outputs: int
    """The width of the network's last layer: one logit per class, one for `binary`, or the regression outputs."""
    input_shape: Shape
    """(channels, height, width) of images, (features,) of vectors."""
    train: int
    """Examples that are trained on, without those held back."""
    validation: int
    """Examples that are evaluated on; 0 where there are none."""
    target: str | None = None
    """Of a table: the column to predict."""
    features: tuple[str, ...] = ()
    """Of a table: the columns to predict from, in this order; a text column is as many inputs as it has categories."""


def task_of(spec: JobSpec, manifest: Manifest) -> Task:
    """The task of this spec on this data set. Raises SpecInvalid with every conflict between the two."""
    errors: list[SpecError] = []
    train, validation = _examples(spec, manifest, errors)
    match manifest:
        case ImageManifest():
            task = _of_images(spec, manifest, errors)
        case VectorManifest():
            task = _of_vectors(spec, manifest, errors)
        case TableManifest():
            task = _of_table(spec, manifest, errors)
        case _:
            assert_never(manifest)
    if errors:
        raise SpecInvalid(tuple(errors))
    kind, classes, outputs, shape, target, features = task
    return Task(kind, classes, outputs, shape, train, validation, target, features)


def held_out(examples: int, fraction: float) -> int:
    """How many training examples a validation fraction holds back: to the nearest, at least one, never all."""
    return min(examples - 1, max(1, round(examples * fraction)))


def class_name(value: float) -> str:
    """What a class is called whose examples have this number in the target column."""
    return str(int(value)) if value.is_integer() else repr(value)


def target_column(spec: JobSpec, manifest: TableManifest) -> Column | None:
    """The column to predict: the one that is named, or the last; None where the name is unknown."""
    if spec.dataset.target is None:
        return manifest.columns[-1]
    return next((column for column in manifest.columns if column.name == spec.dataset.target), None)


def is_classification(loss: Loss) -> bool:
    return isinstance(loss, CrossEntropy | BinaryCrossEntropy | Focal | Hinge)


_Parts = tuple[Literal["binary", "multiclass", "regression"], tuple[str, ...], int, Shape, str | None, tuple[str, ...]]


def _examples(spec: JobSpec, manifest: Manifest, errors: list[SpecError]) -> tuple[int, int]:
    if TRAIN not in manifest.splits:
        errors.append(SpecError("/dataset/id", "no_training_data", "The data set has no split called `train`"))
        return 0, 0
    train = manifest.splits[TRAIN].examples
    match spec.dataset.validation:
        case None:
            return train, 0
        case Fraction(fraction=fraction):
            if train < 2:
                errors.append(
                    SpecError("/dataset/validation/fraction", "too_few_examples", "One example cannot be divided")
                )
                return train, 0
            return train - (held := held_out(train, fraction)), held
        case Split(split=split):
            return train, _of_split(split, manifest, errors)
        case _:
            assert_never(spec.dataset.validation)


def _of_split(split: str, manifest: Manifest, errors: list[SpecError]) -> int:
    others = sorted(set(manifest.splits) - {TRAIN})
    if split in others:
        return manifest.splits[split].examples
    detail = (
        "Validation on the split that is trained on tells nothing: name another one or a fraction"
        if split == TRAIN
        else "The data set has no split of this name"
        + ("" if others else '; it has only `train`, so hold back a part: {"fraction": 0.1}')
    )
    errors.append(SpecError("/dataset/validation/split", "unknown_split", detail, list(others), closest(split, others)))
    return 0


def _of_images(spec: JobSpec, manifest: ImageManifest, errors: list[SpecError]) -> _Parts:
    _refuse_columns(spec, errors)
    size = spec.dataset.image_size or manifest.size
    if size is None:
        detail = "The images have several sizes: say to which height and width they are resized"
        errors.append(SpecError("/dataset/image_size", "missing", detail))
    kind, outputs = _of_classes(spec, manifest.classes, errors)
    return kind, manifest.classes, outputs, (manifest.channels, *(size or (1, 1))), None, ()


def _of_vectors(spec: JobSpec, manifest: VectorManifest, errors: list[SpecError]) -> _Parts:
    _refuse_columns(spec, errors)
    _refuse_image_size(spec, errors)
    if manifest.classes is None:
        _of_numbers(spec, errors)
        return "regression", (), manifest.outputs, (manifest.features,), None, ()
    kind, outputs = _of_classes(spec, manifest.classes, errors)
    return kind, manifest.classes, outputs, (manifest.features,), None, ()


def _of_table(spec: JobSpec, manifest: TableManifest, errors: list[SpecError]) -> _Parts:
    _refuse_image_size(spec, errors)
    target = target_column(spec, manifest)
    features = _features(spec, manifest, target, errors)
    shape = (sum(_inputs(column) for column in features),)
    names = tuple(column.name for column in features)
    if target is None:
        known = [column.name for column in manifest.columns]
        errors.append(_unknown_column("/dataset/target", spec.dataset.target or "", known))
        return "regression", (), 1, shape, None, names
    if target.missing:
        detail = f"{target.missing} rows have no value in the target column: leave them out of the data"
        errors.append(SpecError("/dataset/target", "missing_targets", detail))
    if isinstance(target, NumericColumn) and not _numbers_are_classes(spec):
        _of_numbers(spec, errors)
        return "regression", (), 1, shape, target.name, names
    classes = _column_classes(target, errors)
    kind, outputs = _of_classes(spec, classes, errors) if classes else ("multiclass", 1)
    return kind, classes, outputs, shape, target.name, names


def _numbers_are_classes(spec: JobSpec) -> bool:
    match spec.dataset.class_mode:
        case "categorical" | "binary":
            return True
        case "regression":
            return False
        case "auto":
            return spec.loss is not None and is_classification(spec.loss)
        case _:
            assert_never(spec.dataset.class_mode)


def _column_classes(target: Column, errors: list[SpecError]) -> tuple[str, ...]:
    match target:
        case CategoricalColumn():
            return target.categories
        case NumericColumn(distinct=None):
            detail = (
                "The target column has more than 100 different numbers: too many for classes, so ask for regression"
            )
            errors.append(SpecError("/dataset/target", "too_many_classes", detail, suggestion="regression"))
            return ()
        case NumericColumn():
            return tuple(class_name(value) for value in target.distinct or ())
        case _:
            assert_never(target)


def _features(
    spec: JobSpec, manifest: TableManifest, target: Column | None, errors: list[SpecError]
) -> Sequence[Column]:
    others = {column.name: column for column in manifest.columns if column != target}
    if spec.dataset.features is None:
        if not others:
            errors.append(SpecError("/dataset/id", "no_features", "The table has no column to predict from"))
        return list(others.values())
    for index, name in enumerate(spec.dataset.features):
        pointer = f"/dataset/features/{index}"
        if target is not None and name == target.name:
            errors.append(SpecError(pointer, "target_as_feature", "The target column cannot be a feature too"))
        elif name not in others:
            errors.append(_unknown_column(pointer, name, list(others)))
        elif name in spec.dataset.features[:index]:
            errors.append(SpecError(pointer, "duplicate_feature", "This column is named twice"))
    return [others[name] for name in spec.dataset.features if name in others]


def _unknown_column(pointer: str, name: str, known: list[str]) -> SpecError:
    return SpecError(pointer, "unknown_column", "The table has no such column", known[:100], closest(name, known))


def _inputs(column: Column) -> int:
    return len(column.categories) if isinstance(column, CategoricalColumn) else 1


def _of_classes(
    spec: JobSpec, classes: tuple[str, ...], errors: list[SpecError]
) -> tuple[Literal["binary", "multiclass"], int]:
    if spec.dataset.class_mode == "regression":
        detail = "The targets are classes, which have no order to regress on: leave class_mode out"
        errors.append(
            SpecError("/dataset/class_mode", "classes_not_numbers", detail, ["auto", "categorical", "binary"])
        )
    elif spec.loss is not None and not is_classification(spec.loss):
        detail = "This loss is for numbers, and the targets are classes"
        allowed = ["cross_entropy", *(["binary_cross_entropy"] if len(classes) == 2 else []), "focal", "hinge"]
        errors.append(SpecError("/loss/type", "loss_does_not_fit", detail, allowed, "cross_entropy"))
    if len(classes) < 2:
        errors.append(SpecError("/dataset/id", "one_class", "There is only one class: nothing can be told apart"))
    if len(classes) != 2:
        _refuse_binary(spec, len(classes), errors)
    asked = spec.dataset.class_mode == "binary" and not isinstance(spec.loss, CrossEntropy)
    one_logit = isinstance(spec.loss, BinaryCrossEntropy) or asked
    return ("binary", 1) if one_logit else ("multiclass", len(classes))


def _refuse_binary(spec: JobSpec, classes: int, errors: list[SpecError]) -> None:
    if spec.dataset.class_mode == "binary":
        detail = f"Binary means two classes, and the data has {classes}"
        errors.append(SpecError("/dataset/class_mode", "not_binary", detail, ["auto", "categorical"], "categorical"))
    if isinstance(spec.loss, BinaryCrossEntropy):
        detail = f"This loss tells two classes apart, and the data has {classes}"
        errors.append(SpecError("/loss/type", "loss_does_not_fit", detail, ["cross_entropy"], "cross_entropy"))


def _of_numbers(spec: JobSpec, errors: list[SpecError]) -> None:
    if spec.dataset.class_mode in ("categorical", "binary"):
        detail = "The targets are numbers, not classes: leave class_mode out"
        errors.append(SpecError("/dataset/class_mode", "numbers_not_classes", detail, ["auto", "regression"]))
    if spec.loss is not None and is_classification(spec.loss):
        detail = "This loss is for classes, and the targets are numbers"
        errors.append(SpecError("/loss/type", "loss_does_not_fit", detail, ["mse", "mae", "huber", "poisson"], "mse"))


def _refuse_columns(spec: JobSpec, errors: list[SpecError]) -> None:
    detail = "Only tables have columns; leave it out"
    if spec.dataset.target is not None:
        errors.append(SpecError("/dataset/target", "not_a_table", detail))
    if spec.dataset.features is not None:
        errors.append(SpecError("/dataset/features", "not_a_table", detail))


def _refuse_image_size(spec: JobSpec, errors: list[SpecError]) -> None:
    if spec.dataset.image_size is not None:
        errors.append(SpecError("/dataset/image_size", "not_images", "The data are not images; leave it out"))
