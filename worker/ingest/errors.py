"""What is said when an upload cannot become a data set."""

from typing import Literal

from models.spec.manifest import Skipped

Code = Literal[
    "array_damaged",
    "array_missing",
    "array_shape",
    "array_type",
    "cell_too_large",
    "class_without_training",
    "crashed",
    "damaged_archive",
    "damaged_images",
    "damaged_parquet",
    "duplicate_column",
    "duplicate_entry",
    "empty",
    "encrypted",
    "entry_too_large",
    "header_missing",
    "image_too_large",
    "internal",
    "labels_mismatch",
    "link",
    "malformed_csv",
    "nested_archive",
    "no_class_folders",
    "no_columns",
    "no_images",
    "not_finite",
    "not_supported",
    "object_array",
    "out_of_memory",
    "ragged_row",
    "ratio",
    "row_too_large",
    "special_file",
    "stopped",
    "storage_full",
    "time_limit",
    "too_large",
    "too_many_categories",
    "too_many_classes",
    "too_many_columns",
    "too_many_entries",
    "too_many_examples",
    "unsafe_path",
    "unsupported_compression",
    "wrong_encoding",
    "wrong_extension",
]

MAX_TEXT = 300


def printable(text: str, limit: int = MAX_TEXT) -> str:
    """The text of a stranger, fit for JSON and a log: no control characters, no lone surrogates, not endless."""
    if text.isprintable() and len(text) <= limit:
        return text
    shown = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text[:limit]
    )
    return shown if len(text) <= limit else shown + "…"


class IngestError(Exception):
    """The upload is refused: `detail` says what was found, where, and what would be accepted.

    `entry` names the member of the archive, `row` counts the records of a CSV file from 1, the header included;
    `skipped` are the first of the entries that were left out before, each with its reason.
    """

    def __init__(
        self,
        code: Code,
        detail: str,
        entry: str | None = None,
        row: int | None = None,
        skipped: tuple[Skipped, ...] = (),
    ) -> None:
        super().__init__(detail)
        self.code: Code = code
        self.detail = detail
        self.entry = None if entry is None else printable(entry)
        self.row = row
        self.skipped = skipped
