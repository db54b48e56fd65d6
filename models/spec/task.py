"""What a job is asked to learn: derived once, from the spec and the manifest, for the check, the estimate and the
engine alike.
"""

from collections.abc import Iterator, Sequence
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
    TextColumn,
    VectorManifest,
)
from .text import MultiHot, Text, TokenSequence
from .words import FIRST_WORD, words_of

TRAIN = "train"

Shape = tuple[int, ...]
AnyColumn = Column | TextColumn
Kind = Literal["binary", "multiclass", "multi_label", "regression"]


@dataclass(frozen=True, slots=True)
class Task:
    """What goes in, what comes out, and how many examples there are."""

    kind: Kind
    """`binary` is two classes told apart by one logit; `multi_label` any number of labels at once, a logit for each.
    """
    classes: tuple[str, ...]
    """Their names in the order of their indices; none for regression."""
    outputs: int
    """The width of the network's last layer: one logit per class or label, one for `binary`, or the regression outputs.
    """
    input_shape: Shape
    """(channels, height, width) of images, (features,) of vectors, (tokens,) of sequences of tokens."""
    train: int
    """Examples that are trained on, without those held back."""
    validation: int
    """Examples that are evaluated on; 0 where there are none."""
    targets: tuple[str, ...] = ()
    """Of a table: the columns to predict."""
    features: tuple[str, ...] = ()
    """Of a table: the columns to predict from, in this order but for columns that are read as text, which come last; a
    column of categories is as many inputs as it has categories.
    """
    texts: tuple[str, ...] = ()
    """The features that are read as text."""
    vocabulary: int = 0
    """Of sequences of tokens: how many different ones there are, padding and unknown words among them; else 0."""


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
    kind, classes, outputs, inputs, targets = task
    columns = (targets, inputs.features, inputs.texts)
    return Task(kind, classes, outputs, inputs.shape, train, validation, *columns, inputs.vocabulary)


def held_out(examples: int, fraction: float) -> int:
    """How many training examples a validation fraction holds back: to the nearest, at least one, never all."""
    return min(examples - 1, max(1, round(examples * fraction)))


def class_name(value: float) -> str:
    """What a class is called whose examples have this number in the target column."""
    return str(int(value)) if value.is_integer() else repr(value)


def labels_in(text: str, delimiter: str) -> list[str]:
    """The labels of one cell: what stands between the delimiters, without spaces around it."""
    return [label for part in text.split(delimiter) if (label := part.strip())]


def target_columns(spec: JobSpec, manifest: TableManifest) -> list[Column]:
    """The columns to predict, those of unknown names left out: the ones that are named, or the last."""
    if spec.dataset.target is None:
        return [manifest.columns[-1]]
    named = {column.name: column for column in manifest.columns}
    return [named[name] for name in _names(spec.dataset.target) if name in named]


def _names(target: str | tuple[str, ...]) -> tuple[str, ...]:
    return (target,) if isinstance(target, str) else target


def is_classification(loss: Loss) -> bool:
    return isinstance(loss, CrossEntropy | BinaryCrossEntropy | Focal | Hinge)


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What goes in."""

    shape: Shape
    features: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    vocabulary: int = 0


_Parts = tuple[Kind, tuple[str, ...], int, _Inputs, tuple[str, ...]]


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
    shape = (manifest.channels, *(size or (1, 1)))
    kind, outputs = _of_saved_classes(spec, manifest.classes, manifest.multi_label, errors)
    return kind, manifest.classes, outputs, _Inputs(shape), ()


def _of_vectors(spec: JobSpec, manifest: VectorManifest, errors: list[SpecError]) -> _Parts:
    _refuse_columns(spec, errors)
    _refuse_image_size(spec, errors)
    if manifest.classes is None:
        _of_numbers(spec, errors)
        return "regression", (), manifest.outputs, _Inputs((manifest.features,)), ()
    kind, outputs = _of_saved_classes(spec, manifest.classes, manifest.multi_label, errors)
    return kind, manifest.classes, outputs, _Inputs((manifest.features,)), ()


def _of_table(spec: JobSpec, manifest: TableManifest, errors: list[SpecError]) -> _Parts:
    _refuse_image_size(spec, errors)
    targets = target_columns(spec, manifest)
    inputs = _inputs(spec, manifest, targets, errors)
    unknown = list(_unknown_targets(spec, manifest))
    if unknown:
        errors += unknown
        return "regression", (), 1, inputs, ()
    kind, classes, outputs = _of_columns(spec, targets, errors)
    return kind, classes, outputs, inputs, tuple(column.name for column in targets)


def _unknown_targets(spec: JobSpec, manifest: TableManifest) -> Iterator[SpecError]:
    known = [column.name for column in manifest.columns]
    match spec.dataset.target:
        case None:
            return
        case str(name):
            if name in [text.name for text in manifest.texts]:
                detail = "This column is text, which nothing here predicts"
                yield SpecError("/dataset/target", "text_target", detail, known[:100])
            elif name not in known:
                yield _unknown_column("/dataset/target", name, known)
        case names:
            for index, name in enumerate(names):
                if name not in known:
                    yield _unknown_column(f"/dataset/target/{index}", name, known)
                elif name in names[:index]:
                    yield SpecError(f"/dataset/target/{index}", "duplicate_target", "This column is named twice")


def _of_columns(spec: JobSpec, targets: Sequence[Column], errors: list[SpecError]) -> tuple[Kind, tuple[str, ...], int]:
    """What these columns are to a network."""
    if spec.dataset.delimiter is not None:
        return _of_delimited(spec, targets, errors)
    for column in targets:
        if column.missing:
            detail = f"{column.missing} rows have no value in the column `{column.name}`: leave them out of the data"
            errors.append(SpecError("/dataset/target", "missing_targets", detail))
    if isinstance(spec.dataset.target, tuple) or spec.dataset.class_mode == "multi_label":
        return _of_several(spec, targets, errors)
    (target,) = targets
    if isinstance(target, NumericColumn) and not _numbers_are_classes(spec):
        _of_numbers(spec, errors)
        return "regression", (), 1
    classes = _column_classes(target, errors)
    kind, outputs = _of_classes(spec, classes, errors) if classes else ("multiclass", 1)
    return kind, classes, outputs


def _of_several(spec: JobSpec, targets: Sequence[Column], errors: list[SpecError]) -> tuple[Kind, tuple[str, ...], int]:
    """Columns of 0 and 1 are labels; columns of other numbers are regression outputs."""
    names = tuple(column.name for column in targets)
    if spec.dataset.class_mode != "regression" and all(_is_label(column) for column in targets):
        _of_labels(spec, errors)
        return "multi_label", names, len(names)
    if spec.dataset.class_mode == "multi_label":
        errors += (_no_label(spec, column) for column in targets if not _is_label(column))
        return "multi_label", names, len(names)
    texts = [column.name for column in targets if not isinstance(column, NumericColumn)]
    if texts:
        detail = f"Several targets are columns of 0 and 1, or of numbers to regress on; `{texts[0]}` holds text"
        errors.append(SpecError("/dataset/target", "not_numbers", detail))
    else:
        _of_numbers(spec, errors)
    return "regression", (), len(names)


def _is_label(column: Column) -> bool:
    return isinstance(column, NumericColumn) and column.distinct is not None and {*column.distinct} <= {0.0, 1.0}


def _no_label(spec: JobSpec, column: Column) -> SpecError:
    detail = f"A label is a column of 0 and 1, and `{column.name}` holds other values"
    if isinstance(column, CategoricalColumn) and not isinstance(spec.dataset.target, tuple):
        detail += '. If a cell lists labels, say what stands between them: "delimiter": ";"'
    return SpecError("/dataset/target", "not_labels", detail)


def _of_delimited(
    spec: JobSpec, targets: Sequence[Column], errors: list[SpecError]
) -> tuple[Kind, tuple[str, ...], int]:
    """One column whose cells list labels; an empty cell has none."""
    assert spec.dataset.delimiter is not None
    if spec.dataset.class_mode not in ("auto", "multi_label"):
        detail = "Cells that list labels are multi_label: leave the delimiter out, or class_mode"
        errors.append(SpecError("/dataset/delimiter", "not_multi_label", detail))
    if len(targets) > 1 or not isinstance(targets[0], CategoricalColumn):
        detail = "A delimiter divides the cells of one target column of text"
        errors.append(SpecError("/dataset/delimiter", "not_delimited", detail))
        return "multi_label", (), 1
    labels = tuple(delimited_labels(targets[0], spec.dataset.delimiter))
    if len(labels) < 2:
        detail = f"No cell of `{targets[0].name}` lists several labels with this delimiter"
        errors.append(SpecError("/dataset/delimiter", "not_delimited", detail))
    _of_labels(spec, errors)
    return "multi_label", labels, max(1, len(labels))


def delimited_labels(column: CategoricalColumn, delimiter: str) -> list[str]:
    """The different labels that the cells of a column list, in alphabetical order."""
    return sorted({label for cell in column.categories for label in labels_in(cell, delimiter)})


def _of_labels(spec: JobSpec, errors: list[SpecError]) -> None:
    """What fits targets of which several may hold at once."""
    if spec.loss is not None and not isinstance(spec.loss, BinaryCrossEntropy | Focal):
        detail = "Several labels may hold at once, and this loss is not made for that"
        allowed = ["binary_cross_entropy", "focal"]
        errors.append(SpecError("/loss/type", "loss_does_not_fit", detail, allowed, "binary_cross_entropy"))


def _numbers_are_classes(spec: JobSpec) -> bool:
    match spec.dataset.class_mode:
        case "categorical" | "binary":
            return True
        case "regression" | "multi_label":
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


def _inputs(spec: JobSpec, manifest: TableManifest, targets: Sequence[Column], errors: list[SpecError]) -> _Inputs:
    """The columns to predict from, and the inputs that they make."""
    features = _features(spec, manifest, targets, errors)
    names = tuple(column.name for column in features)
    texts = [column for column in features if column.name in _texts(spec, manifest)]
    errors += _unfit_texts(spec, features, texts)
    sizes = [min(text_form(spec).words, distinct_words(column)) for column in texts]
    read = tuple(column.name for column in texts)
    if isinstance(spec.dataset.text, TokenSequence):
        return _Inputs((spec.dataset.text.length,), names, read, FIRST_WORD + max(sizes, default=1))
    width = sum(_width(column) for column in features if column.name not in read)
    return _Inputs((width + sum(sizes),), names, read)


def text_form(spec: JobSpec) -> Text:
    """How columns of text are read."""
    return spec.dataset.text or MultiHot()


def distinct_words(column: AnyColumn) -> int:
    """The length of a column's vocabulary, at least 1."""
    match column:
        case TextColumn():
            return column.distinct
        case CategoricalColumn():
            return max(1, len({word for text in column.categories for word in words_of(text)}))
        case NumericColumn():
            return 1
        case _:
            assert_never(column)


def _texts(spec: JobSpec, manifest: TableManifest) -> set[str]:
    """The columns that are read as text, if they are features."""
    named = spec.dataset.text.columns if spec.dataset.text is not None else None
    return {*(named or ()), *(() if named else (text.name for text in manifest.texts))}


def _unfit_texts(spec: JobSpec, features: Sequence[AnyColumn], texts: Sequence[AnyColumn]) -> Iterator[SpecError]:
    names = [column.name for column in features]
    for index, name in enumerate((spec.dataset.text and spec.dataset.text.columns) or ()):
        pointer = f"/dataset/text/columns/{index}"
        if name not in names:
            detail = "This is not among the features"
            yield SpecError(pointer, "unknown_column", detail, names[:100], closest(name, names))
        elif isinstance(next(column for column in features if column.name == name), NumericColumn):
            yield SpecError(pointer, "not_text", "A column of numbers cannot be read as text")
    unread = [column.name for column in features if isinstance(column, TextColumn) and column not in texts]
    if unread:
        detail = f"`{unread[0]}` is text, and can only be read as that: name it here too"
        yield SpecError("/dataset/text/columns", "unread_text", detail)
    if spec.dataset.text is not None and not texts:
        detail = "No feature is kept as text. If a categorical column is to be read as that, name it in `columns`"
        yield SpecError("/dataset/text", "no_text", detail)
    elif isinstance(spec.dataset.text, TokenSequence) and len(features) > 1:
        detail = "A sequence of tokens is the only input: name one column of text as the only feature, or say multi_hot"
        yield SpecError("/dataset/features", "tokens_alone", detail, suggestion=texts[0].name)


def _features(
    spec: JobSpec, manifest: TableManifest, targets: Sequence[Column], errors: list[SpecError]
) -> Sequence[AnyColumn]:
    every: tuple[AnyColumn, ...] = (*manifest.columns, *manifest.texts)
    others = {column.name: column for column in every if column not in targets}
    if spec.dataset.features is None:
        if not others:
            errors.append(SpecError("/dataset/id", "no_features", "The table has no column to predict from"))
        return _usual_features(spec, manifest, list(others.values()))
    for index, name in enumerate(spec.dataset.features):
        pointer = f"/dataset/features/{index}"
        if any(name == target.name for target in targets):
            errors.append(SpecError(pointer, "target_as_feature", "The target column cannot be a feature too"))
        elif name not in others:
            errors.append(_unknown_column(pointer, name, list(others)))
        elif name in spec.dataset.features[:index]:
            errors.append(SpecError(pointer, "duplicate_feature", "This column is named twice"))
    return [others[name] for name in spec.dataset.features if name in others]


def _usual_features(spec: JobSpec, manifest: TableManifest, others: Sequence[AnyColumn]) -> Sequence[AnyColumn]:
    texts = _texts(spec, manifest)
    if isinstance(spec.dataset.text, TokenSequence):
        return [column for column in others if column.name in texts] or others
    plain = [column for column in others if not isinstance(column, TextColumn)]
    return others if spec.dataset.text is not None or not plain else plain


def _unknown_column(pointer: str, name: str, known: list[str]) -> SpecError:
    return SpecError(pointer, "unknown_column", "The table has no such column", known[:100], closest(name, known))


def _width(column: AnyColumn) -> int:
    return len(column.categories) if isinstance(column, CategoricalColumn) else 1


def _of_saved_classes(
    spec: JobSpec, classes: tuple[str, ...], multi_label: bool, errors: list[SpecError]
) -> tuple[Kind, int]:
    """Of images and vectors, whose manifest says whether they have one class each or any number of labels."""
    if not multi_label:
        return _of_classes(spec, classes, errors)
    if spec.dataset.class_mode not in ("auto", "multi_label"):
        detail = "An example of this data has any number of labels: leave class_mode out"
        errors.append(SpecError("/dataset/class_mode", "labels_not_classes", detail, ["auto", "multi_label"]))
    _of_labels(spec, errors)
    return "multi_label", len(classes)


def _of_classes(spec: JobSpec, classes: tuple[str, ...], errors: list[SpecError]) -> tuple[Kind, int]:
    if spec.dataset.class_mode == "multi_label":
        detail = "An example of this data has one class: leave class_mode out"
        errors.append(SpecError("/dataset/class_mode", "not_multi_label", detail, ["auto", "categorical", "binary"]))
    elif spec.dataset.class_mode == "regression":
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
    if spec.dataset.class_mode in ("categorical", "binary", "multi_label"):
        detail = "The targets are numbers, not classes: leave class_mode out"
        errors.append(SpecError("/dataset/class_mode", "numbers_not_classes", detail, ["auto", "regression"]))
    if spec.loss is not None and is_classification(spec.loss):
        detail = "This loss is for classes, and the targets are numbers"
        errors.append(SpecError("/loss/type", "loss_does_not_fit", detail, ["mse", "mae", "huber", "poisson"], "mse"))


def _refuse_columns(spec: JobSpec, errors: list[SpecError]) -> None:
    detail = "Only tables have columns; leave it out"
    if spec.dataset.target is not None:
        errors.append(SpecError("/dataset/target", "not_a_table", detail))
    if spec.dataset.delimiter is not None:
        errors.append(SpecError("/dataset/delimiter", "not_a_table", detail))
    if spec.dataset.features is not None:
        errors.append(SpecError("/dataset/features", "not_a_table", detail))
    if spec.dataset.text is not None:
        errors.append(SpecError("/dataset/text", "not_a_table", detail))


def _refuse_image_size(spec: JobSpec, errors: list[SpecError]) -> None:
    if spec.dataset.image_size is not None:
        errors.append(SpecError("/dataset/image_size", "not_images", "The data are not images; leave it out"))
