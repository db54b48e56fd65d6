"""Manifests of small and large data sets, without the arrays."""

from models.spec.manifest import (
    ArrayFile,
    CategoricalColumn,
    Column,
    ImageManifest,
    ImageSplit,
    NumericColumn,
    TableManifest,
    TableSplit,
    TextColumn,
    TextFiles,
    VectorManifest,
    VectorSplit,
)

DIGITS = tuple("0123456789")
CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def array(*shape: int, dtype: str = "uint8") -> ArrayFile:
    return ArrayFile(path="array.npy", dtype=dtype, shape=shape, bytes=0, sha256="0" * 64)


def images(
    classes: tuple[str, ...] = CLOTHES,
    size: tuple[int, int] | None = (28, 28),
    channels: int = 1,
    train: int = 60_000,
    test: int = 10_000,
) -> ImageManifest:
    def split(examples: int) -> ImageSplit:
        counts = (examples // len(classes),) * len(classes)
        return ImageSplit(examples=examples, inputs=array(examples), targets=array(examples), class_counts=counts)

    return ImageManifest.model_validate(
        {
            "channels": channels,
            "size": size,
            "classes": classes,
            "mean": (0.5,) * channels,
            "std": (0.25,) * channels,
            "splits": {"train": split(train), "test": split(test)},
        }
    )


def vectors(
    features: int = 10_000, classes: tuple[str, ...] | None = ("neg", "pos"), outputs: int = 1
) -> VectorManifest:
    split = VectorSplit(examples=25_000, inputs=array(25_000, features), targets=array(25_000))
    return VectorManifest(features=features, classes=classes, outputs=outputs, splits={"train": split})


def number(name: str, distinct: tuple[float, ...] | None = None, missing: int = 0) -> NumericColumn:
    return NumericColumn(name=name, missing=missing, mean=0.0, std=1.0, minimum=-1.0, maximum=1.0, distinct=distinct)


def words(name: str, *categories: str, missing: int = 0) -> CategoricalColumn:
    return CategoricalColumn(name=name, missing=missing, categories=categories)


def text(name: str, distinct: int = 50_000) -> TextColumn:
    counts = {"missing": 0, "words": 10 * distinct, "longest": 500, "distinct": distinct}
    return TextColumn(name=name, common=("the",), vocabulary=array(distinct), **counts)


def table(*columns: Column, rows: int = 1599, texts: tuple[TextColumn, ...] = ()) -> TableManifest:
    files = {one.name: TextFiles(words=array(one.words), offsets=array(rows + 1)) for one in texts}
    split = TableSplit(examples=rows, inputs=array(rows, len(columns), dtype="float64"), texts=files)
    return TableManifest(columns=columns, texts=texts, splits={"train": split})


WINE = table(
    number("acidity"), number("alcohol"), words("cork", "natural", "screw"), number("quality", (3, 4, 5, 6, 7, 8))
)
