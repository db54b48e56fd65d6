"""Which data, which part of it, and in which form."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from .technique import Technique
from .text import ColumnName, Text


class Fraction(Technique):
    """Holds back this share of the training part, drawn once by the seed: the same share of every class, and of
    multi-label and regression data any examples.
    """

    fraction: Annotated[float, Field(gt=0.0, lt=1.0)]


class Split(Technique):
    """Evaluates on another split of the data set, such as `test`."""

    split: Annotated[str, Field(min_length=1, max_length=100)]


def _kind(value: Any) -> str:
    names_a_split = "split" in value if isinstance(value, dict) else isinstance(value, Split)
    return "a split" if names_a_split else "a fraction"


Validation = Annotated[Annotated[Fraction, Tag("a fraction")] | Annotated[Split, Tag("a split")], Discriminator(_kind)]


class Dataset(Technique):
    """The data set of the job. Training uses its split `train`."""

    id: Annotated[str, Field(min_length=1, max_length=100)]
    image_size: tuple[Annotated[int, Field(ge=1, le=2048)], Annotated[int, Field(ge=1, le=2048)]] | None = None
    """Height and width to which images are resized; their own unless said."""
    target: ColumnName | Annotated[tuple[ColumnName, ...], Field(min_length=1, max_length=1_000)] | None = None
    """Of a table: the column to predict; its last one unless said. A list of columns of 0 and 1 is multi-label, a list
    of columns of other numbers is regression with as many outputs.
    """
    delimiter: Annotated[str, Field(min_length=1, max_length=10)] | None = None
    """Of a target column whose cells list labels (`news;sport`): what stands between them. The job is multi-label then,
    and an empty cell has no label.
    """
    features: Annotated[tuple[ColumnName, ...], Field(min_length=1, max_length=10_000)] | None = None
    """Of a table: the columns to predict from; all others unless said. Columns of text are among those only where
    `text` says how they are read, or where there are no others; and with tokens the text is the only one.
    """
    text: Text | None = None
    """How columns of text are read; `multi_hot` unless said."""
    validation: Validation | None = None
    """Where the validation metrics come from: {"fraction": 0.1} of the training part, {"split": "test"}, or nowhere."""
    class_mode: Literal["auto", "categorical", "binary", "multi_label", "regression"] = "auto"
    """`auto`: images and class targets are classes; a numeric column is regression unless the loss is one for classes;
    several columns of 0 and 1 are `multi_label`.
    """
    normalize: Literal["auto", "unit", "none"] = "auto"
    """`auto`: each channel, number column or float feature minus its mean, by its standard deviation, both of the
    training part; vectors of bytes stay as they are. `unit`: pixels from 0 to 1. `none`: as stored, pixels from 0 to
    255.
    """
