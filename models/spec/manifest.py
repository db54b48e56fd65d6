"""What a packed dataset is: the manifest that ingest writes, the API checks specs against and the engine reads.

A packed dataset is one folder: `manifest.json` and raw `.npy` arrays beside it, all of which can be memory-mapped. Its
identity is the sha256 of the manifest's bytes, and the manifest holds the sha256 of every array, so equal content has
an equal name.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_serialization_defaults_required=True)


class ArrayFile(Frozen):
    """One `.npy` file of the packed folder."""

    path: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    sha256: str


class Skipped(Frozen):
    """An entry of the upload that is not in the packed form, and why."""

    entry: str
    reason: str


class ImageSplit(Frozen):
    """Images of one split.

    Images of one size are `inputs` of shape (examples, height, width, channels), uint8. Images of several sizes are
    their bytes laid end to end in `inputs` of shape (total bytes,), with `sizes` (examples, 2: height, width; int32)
    and `offsets` (examples + 1; int64).
    """

    examples: int
    inputs: ArrayFile
    targets: ArrayFile
    """(examples,) int64: the index into `classes`; where an example has any number of labels, (examples, labels) uint8
    of 0 and 1.
    """
    sizes: ArrayFile | None = None
    offsets: ArrayFile | None = None
    class_counts: tuple[int, ...]
    """Examples of each class or label."""


class VectorSplit(Frozen):
    """Vectors of one split: `inputs` (examples, features), uint8 or float32."""

    examples: int
    inputs: ArrayFile
    targets: ArrayFile
    """(examples,) int64 class indices, (examples, labels) uint8 of 0 and 1 where an example has any number of labels,
    or (examples, outputs) float32 for regression.
    """
    class_counts: tuple[int, ...] | None = None


class TextFiles(Frozen):
    """The texts of one column and split, end to end."""

    words: ArrayFile
    """(words,) int32: places in the column's vocabulary."""
    offsets: ArrayFile
    """(examples + 1,) int64: where each text begins, and where the last one ends."""


class TableSplit(Frozen):
    """Rows of one split: `inputs` (examples, columns) float64 in the order of `columns`; NaN where a value is missing;
    codes of categories."""

    examples: int
    inputs: ArrayFile
    texts: dict[str, TextFiles] = {}
    """By the name of the column."""


class NumericColumn(Frozen):
    type: Literal["numeric"] = "numeric"
    name: str
    missing: int
    mean: float | None
    std: float | None
    minimum: float | None
    maximum: float | None
    distinct: tuple[float, ...] | None
    """The sorted values, when there are at most 100 different ones."""


class CategoricalColumn(Frozen):
    type: Literal["categorical"] = "categorical"
    name: str
    missing: int
    categories: tuple[str, ...]


class TextColumn(Frozen):
    """A column of longer texts, as the words of `models.spec.words`."""

    type: Literal["text"] = "text"
    name: str
    missing: int
    words: int
    """Of all rows together."""
    longest: int
    """Words of the longest text."""
    distinct: int
    """Different words: the length of the vocabulary."""
    common: tuple[str, ...]
    """The most frequent words, at most 20, the most frequent first."""
    vocabulary: ArrayFile
    """(bytes,) uint8: the different words in the order of their code points, UTF-8 with a line feed between two."""


Column = Annotated[NumericColumn | CategoricalColumn, Field(discriminator="type")]


class ImageManifest(Frozen):
    kind: Literal["image"] = "image"
    format_version: Literal[1] = 1
    channels: Literal[1, 3]
    size: tuple[int, int] | None
    """(height, width) when every image has it, else None."""
    classes: tuple[str, ...]
    multi_label: bool = False
    """Whether an example has any number of the classes rather than one."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """Per channel over the `train` split, with pixels scaled to 0–1."""
    splits: dict[str, ImageSplit]
    skipped: tuple[Skipped, ...] = ()
    skipped_total: int = 0


class VectorManifest(Frozen):
    kind: Literal["vector"] = "vector"
    format_version: Literal[1] = 1
    features: int
    classes: tuple[str, ...] | None
    """None for regression."""
    multi_label: bool = False
    """Whether an example has any number of the classes rather than one."""
    outputs: int
    """Regression outputs; 1 for class targets."""
    splits: dict[str, VectorSplit]
    skipped: tuple[Skipped, ...] = ()
    skipped_total: int = 0


class TableManifest(Frozen):
    kind: Literal["table"] = "table"
    format_version: Literal[1] = 1
    columns: tuple[Column, ...]
    """Of numbers and categories."""
    texts: tuple[TextColumn, ...] = ()
    splits: dict[str, TableSplit]
    skipped: tuple[Skipped, ...] = ()
    skipped_total: int = 0


Manifest = Annotated[ImageManifest | VectorManifest | TableManifest, Field(discriminator="kind")]
