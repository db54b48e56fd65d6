"""The part of a script that reads the packed data, as arrays that lie in the folder `data`."""

from typing import assert_never

from api.script.refusals import Refusals
from models.spec.dataset import Fraction, Split
from models.spec.job import JobSpec
from models.spec.manifest import (
    ArrayFile,
    CategoricalColumn,
    ImageManifest,
    Manifest,
    NumericColumn,
    TableManifest,
    VectorManifest,
)
from models.spec.task import TRAIN, Task, held_out


def data_code(spec: JobSpec, manifest: Manifest, task: Task, refusals: Refusals) -> str:
    """Defines `training`, `validation` (inputs and targets, or None), `SCALE` and `OFFSET`."""
    reading = _reading(spec, manifest, task, refusals)
    return "\n".join([reading, *_validation(spec, task), *_filling(manifest), *_normalization(spec, manifest, task)])


def _reading(spec: JobSpec, manifest: Manifest, task: Task, refusals: Refusals) -> str:
    match manifest:
        case ImageManifest():
            stored = None if manifest.size is None else (manifest.channels, *manifest.size)
            as_it_is = stored == task.input_shape and manifest.splits[TRAIN].sizes is None
            refusals.unless(as_it_is, "/dataset/image_size", "images that are resized are not written")
            return _plain(manifest, task)
        case VectorManifest():
            return _plain(manifest, task)
        case TableManifest():
            refusals.unless(not task.texts, "/dataset/text", "columns of text are not written")
            refusals.unless(
                spec.dataset.delimiter is None, "/dataset/delimiter", "cells that list labels are not written"
            )
            return "" if task.texts or spec.dataset.delimiter is not None else _table(manifest, task)
        case _:
            assert_never(manifest)


def _plain(manifest: ImageManifest | VectorManifest, task: Task) -> str:
    files = {name: (split.inputs.path, split.targets.path) for name, split in manifest.splits.items()}
    as_float = ".float()" if task.kind in ("multi_label", "regression") else ""
    return f"""
FILES = {files!r}


def read(split):
    inputs, targets = (torch.from_numpy(np.load(DATA / path)) for path in FILES[split])
    return inputs, targets{as_float}
"""


def _table(manifest: TableManifest, task: Task) -> str:
    places = {column.name: place for place, column in enumerate(manifest.columns)}
    inputs = []
    for name in task.features:
        column = manifest.columns[places[name]]
        cells = f"rows[:, [{places[name]}]]"
        if isinstance(column, CategoricalColumn):
            inputs.append(f"{cells} == np.arange({len(column.categories)})")
        else:
            inputs.append(f"{cells}.astype(np.float32)")
    files = {name: split.inputs.path for name, split in manifest.splits.items()}
    listed = "".join(f"        {one},\n" for one in inputs)
    return f"""
FILES = {files!r}


def read(split):
    rows = np.load(DATA / FILES[split])
    columns = [  # numbers as they are, of categories a 1 for the one it is
{listed}    ]
    inputs = torch.from_numpy(np.concatenate([np.empty((len(rows), 0)), *columns], axis=1, dtype=np.float32))
    return inputs, torch.from_numpy({_table_targets(manifest, task, places)})
"""


def _table_targets(manifest: TableManifest, task: Task, places: dict[str, int]) -> str:
    targets = [places[name] for name in task.targets]
    first = manifest.columns[targets[0]]
    if task.kind in ("regression", "multi_label"):
        return f"rows[:, {targets}].astype(np.float32)"
    if isinstance(first, NumericColumn):
        return f"np.searchsorted(np.array({list(first.distinct or ())}), rows[:, {targets[0]}]).astype(np.int64)"
    return f"rows[:, {targets[0]}].astype(np.int64)"


def _validation(spec: JobSpec, task: Task) -> list[str]:
    match spec.dataset.validation:
        case None:
            return ['training, validation = read("train"), None']
        case Split(split=name):
            return [f'training, validation = read("train"), read({name!r})']
        case Fraction(fraction=fraction):
            count = held_out(task.train + task.validation, fraction)
            by_class = task.kind in ("binary", "multiclass")
            chosen = _BY_CLASS if by_class else _BY_CHANCE
            return [
                'inputs, targets = read("train")',
                f"COUNT = {count}  # examples that are held back",
                'shuffled = torch.randperm(len(inputs), generator=generator("validation"))',
                *chosen,
                "keep = torch.ones(len(inputs), dtype=torch.bool)",
                "keep[held] = False",
                "training, validation = (inputs[keep], targets[keep]), (inputs[held], targets[held])",
            ]
        case _:
            assert_never(spec.dataset.validation)


_BY_CHANCE = ["held = shuffled[:COUNT].sort().values"]
_BY_CLASS = [
    "per_class = torch.bincount(targets)  # the same share of every class, to the nearest example",
    "exact = per_class * (COUNT / len(targets))",
    "quota = exact.floor().long()",
    "quota[(exact - quota).argsort(descending=True, stable=True)[: COUNT - int(quota.sum())]] += 1",
    "labels = targets[shuffled]",
    "chosen = [shuffled[labels == label][: int(quota[label])] for label in range(len(per_class))]",
    "held = torch.cat(chosen).sort().values",
]


def _filling(manifest: Manifest) -> list[str]:
    if not isinstance(manifest, TableManifest):
        return []
    return [
        "means = training[0].double().nanmean(0).nan_to_num(0.0).float()  # they stand where a number is missing",
        "for part in (training, validation):",
        "    if part is not None:",
        "        torch.where(part[0].isnan(), means, part[0], out=part[0])",
    ]


def _normalization(spec: JobSpec, manifest: Manifest, task: Task) -> list[str]:
    shape = "1, -1, 1, 1" if len(task.input_shape) == 3 else "1, -1"
    spread = [f"mean, std = spread(training[0].reshape(-1, {task.input_shape[0]}))"]
    divisor = 1.0
    match spec.dataset.normalize, manifest:
        case "auto", ImageManifest():
            divisor, found = 255.0, [*spread, "mean, std = mean / 255, std / 255"]
        case "unit", ImageManifest():
            divisor, found = 255.0, _UNCHANGED
        case "auto", VectorManifest() if _dtype(manifest.splits[TRAIN].inputs) != "uint8":
            found = spread
        case "auto", TableManifest():
            numeric = _numeric(manifest, task)
            found = [
                *spread,
                f"is_number = torch.tensor({numeric})",
                "mean, std = mean.where(is_number, 0.0), std.where(is_number, 1.0)",
            ]
        case _:
            return ["SCALE = OFFSET = None  # the network gets the numbers as they are"]
    return [
        "",
        *(_SPREAD.splitlines() if found is not _UNCHANGED else []),
        *found,
        f"SCALE = (1.0 / ({divisor} * std)).float().view({shape})",
        f"OFFSET = (-mean / std).float().view({shape})",
    ]


_UNCHANGED = ["mean, std = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)"]
_SPREAD = '''
def spread(inputs):
    """Mean and standard deviation of each channel or feature; 1 where nothing varies."""
    total, squares = torch.zeros(2, inputs.shape[1], dtype=torch.float64)
    for values in inputs.split(ROWS_AT_ONCE):
        total += values.double().sum(0)
        squares += values.double().square().sum(0)
    mean = total / len(inputs)
    variance = (squares / len(inputs) - mean.square()).clamp(min=0.0)
    return mean, torch.where(variance > 1e-12 * mean.square(), variance.sqrt(), 1.0)

'''


def _dtype(file: ArrayFile) -> str:
    return file.dtype


def _numeric(manifest: TableManifest, task: Task) -> list[bool]:
    columns = {column.name: column for column in manifest.columns}
    found: list[bool] = []
    for name in task.features:
        column = columns[name]
        found += [True] if isinstance(column, NumericColumn) else [False] * len(column.categories)
    return found
