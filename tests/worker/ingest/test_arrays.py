import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from models.spec.manifest import ImageManifest, VectorManifest
from tests.worker.ingest.uploads import load, pack, refusal, saved, zipped
from worker.ingest.limits import MIB, Limits

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (6, 4, 5), np.uint8)
VECTORS = RANDOM.standard_normal((6, 4))
LABELS = np.array([0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize(
    ("inputs", "targets"),
    [
        ("train_images", "train_labels"),
        ("x_train", "y_train"),
        ("X_train", "y_train"),
        ("train_inputs", "train_targets"),
        ("images", "labels"),
        ("inputs", "targets"),
        ("x", "y"),
    ],
)
def test_arrays_are_known_by_the_names_people_use(tmp_path: Path, inputs: str, targets: str) -> None:
    manifest, target = pack(saved(tmp_path / "a.npz", **{inputs: IMAGES, targets: LABELS}))
    assert isinstance(manifest, ImageManifest)
    assert np.array_equal(load(target, manifest.splits["train"].inputs), IMAGES[..., None])
    assert load(target, manifest.splits["train"].targets).tolist() == LABELS.tolist()


@pytest.mark.parametrize("words", [("test", "test"), ("val", "validation"), ("validation", "validation")])
def test_every_split_is_packed(tmp_path: Path, words: tuple[str, str]) -> None:
    arrays = {"x_train": IMAGES, "y_train": LABELS, f"x_{words[0]}": IMAGES[:2], f"y_{words[0]}": LABELS[:2]}
    manifest, target = pack(saved(tmp_path / "a.npz", **arrays))
    assert isinstance(manifest, ImageManifest)
    assert load(target, manifest.splits[words[1]].inputs).shape == (2, 4, 5, 1)
    assert manifest.splits[words[1]].class_counts == (1, 1, 0)


def test_a_fourth_axis_is_channels(tmp_path: Path) -> None:
    images = RANDOM.integers(0, 256, (6, 4, 5, 3), np.uint8)
    manifest, _ = pack(saved(tmp_path / "a.npz", images=images, labels=LABELS))
    assert isinstance(manifest, ImageManifest)
    assert (manifest.size, manifest.channels) == ((4, 5), 3)
    np.testing.assert_allclose(manifest.std, (images / 255).std(axis=(0, 1, 2)))


@pytest.mark.parametrize(
    ("dtype", "packed"),
    [("u1", "uint8"), ("?", "uint8"), ("f8", "float32"), (">f4", "float32"), ("f2", "float32"), ("i8", "float32")],
)
def test_vectors_become_bytes_or_float32(tmp_path: Path, dtype: str, packed: str) -> None:
    vectors = RANDOM.integers(0, 2, (6, 4)).astype(dtype)
    manifest, target = pack(saved(tmp_path / "a.npz", inputs=vectors, targets=LABELS))
    assert isinstance(manifest, VectorManifest)
    inputs = load(target, manifest.splits["train"].inputs)
    assert inputs.dtype == packed
    assert np.array_equal(inputs, vectors)


def test_vectors_of_many_pieces_come_back_in_order(tmp_path: Path) -> None:
    vectors = RANDOM.standard_normal((700, 1000))
    manifest, target = pack(saved(tmp_path / "a.npz", inputs=vectors, targets=np.arange(700) % 2))
    assert isinstance(manifest, VectorManifest)
    assert np.array_equal(load(target, manifest.splits["train"].inputs), vectors.astype(np.float32))


@pytest.mark.parametrize(
    ("labels", "classes", "targets"),
    [
        ([3, 5, 8, 3, 5, 8], ("3", "5", "8"), [0, 1, 2, 0, 1, 2]),
        ([-1, 1, 1, -1, 1, 1], ("-1", "1"), [0, 1, 1, 0, 1, 1]),
        ([[0], [1], [0], [1], [0], [1]], ("0", "1"), [0, 1, 0, 1, 0, 1]),
        (["dog", "cat", "dog", "cat", "dog", "cat"], ("cat", "dog"), [1, 0, 1, 0, 1, 0]),
        ([0.0, 1.0, 1.0, 0.0, 0.0, 1.0], ("0", "1"), [0, 1, 1, 0, 0, 1]),
        ([True, False, True, False, True, False], ("0", "1"), [1, 0, 1, 0, 1, 0]),
    ],
)
def test_labels_become_indices_of_classes(
    tmp_path: Path, labels: object, classes: tuple[str, ...], targets: list[int]
) -> None:
    manifest, target = pack(saved(tmp_path / "a.npz", x=VECTORS, y=labels))
    assert isinstance(manifest, VectorManifest)
    assert manifest.classes == classes
    assert load(target, manifest.splits["train"].targets).tolist() == targets


@pytest.mark.parametrize("dtype", ["uint8", "bool", "int64", "float32"])
def test_rows_of_0_and_1_are_labels_of_which_an_example_may_have_several(tmp_path: Path, dtype: str) -> None:
    marks = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 0]])
    source = saved(
        tmp_path / "a.npz", x=np.zeros((3, 2), "f4"), y=marks.astype(dtype), classes=np.array(["a", "b", "c"])
    )
    manifest, target = pack(source)
    assert isinstance(manifest, VectorManifest)
    assert (manifest.classes, manifest.multi_label) == (("a", "b", "c"), True)
    assert manifest.splits["train"].class_counts == (1, 2, 0)
    np.testing.assert_array_equal(load(target, manifest.splits["train"].targets), marks.astype("u1"))


def test_one_hot_rows_are_refused_with_a_word_on_argmax(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.npz", x=np.zeros((3, 2), "f4"), y=np.eye(3, dtype="u1"))
    assert "argmax" in refusal(source).detail


def test_class_names_name_the_labels(tmp_path: Path) -> None:
    manifest, _ = pack(saved(tmp_path / "a.npz", images=IMAGES, labels=LABELS, class_names=["zebra", "ant", "bee"]))
    assert isinstance(manifest, ImageManifest)
    assert manifest.classes == ("zebra", "ant", "bee")


@pytest.mark.parametrize(("shape", "outputs"), [((6,), 1), ((6, 1), 1), ((6, 3), 3)])
def test_float_targets_are_regressed(tmp_path: Path, shape: tuple[int, ...], outputs: int) -> None:
    values = RANDOM.standard_normal(shape)
    manifest, target = pack(saved(tmp_path / "a.npz", x=VECTORS, y=values))
    assert isinstance(manifest, VectorManifest)
    assert (manifest.classes, manifest.outputs) == (None, outputs)
    np.testing.assert_array_equal(load(target, manifest.splits["train"].targets), values.reshape(6, -1).astype("f4"))


def test_an_array_that_says_nothing_is_left_out_and_named(tmp_path: Path) -> None:
    manifest, _ = pack(saved(tmp_path / "a.npz", images=IMAGES, labels=LABELS, notes=[1, 2]))
    assert [skipped.entry for skipped in manifest.skipped] == ["notes.npy"]


class Trap:
    """A pickle that would leave a mark."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self._mark,)


def test_python_objects_are_refused_and_never_run(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.npz", images=np.array([Trap(tmp_path / "mark")] * 6, object), labels=LABELS)
    error = refusal(source)
    assert (error.code, error.entry) == ("object_array", "images.npy")


@pytest.mark.parametrize(
    ("arrays", "code"),
    [
        ({"images": IMAGES}, "array_missing"),
        ({"test_images": IMAGES, "test_labels": LABELS}, "array_missing"),
        ({"images": IMAGES, "x": IMAGES, "labels": LABELS}, "array_missing"),
        ({"images": IMAGES, "labels": LABELS[:5]}, "labels_mismatch"),
        ({"images": IMAGES, "labels": LABELS, "class_names": ["a", "b"]}, "labels_mismatch"),
        ({"images": IMAGES, "labels": np.eye(6)[LABELS].astype("i8")}, "array_shape"),
        ({"images": IMAGES, "labels": np.linspace(0, 1, 6)}, "array_type"),
        ({"images": IMAGES.astype("f4"), "labels": LABELS}, "array_type"),
        ({"images": np.zeros((6, 3, 4, 5), "u1"), "labels": LABELS}, "array_shape"),
        ({"images": np.zeros((6,), "u1"), "labels": LABELS}, "array_shape"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "empty"),
        ({"x": np.asfortranarray(VECTORS), "y": LABELS}, "array_shape"),
        ({"x": VECTORS * 1j, "y": LABELS}, "array_type"),
        ({"x": VECTORS, "y": np.array([0.5, np.nan, 1, 1, 1, 1])}, "not_finite"),
        ({"x": VECTORS * 1e300, "y": LABELS}, "not_finite"),
        ({"x_train": VECTORS, "y_train": LABELS, "x_test": VECTORS[:, :2], "y_test": LABELS}, "array_shape"),
    ],
)
def test_arrays_that_are_no_data_set_are_refused(tmp_path: Path, arrays: dict[str, object], code: str) -> None:
    assert refusal(saved(tmp_path / "a.npz", **arrays)).code == code


def test_a_value_that_is_not_finite_is_named_by_its_example(tmp_path: Path) -> None:
    vectors = RANDOM.standard_normal((1000, 500))
    vectors[777, 3] = np.inf
    assert "example 777 " in refusal(saved(tmp_path / "a.npz", x=vectors, y=np.zeros(1000, int))).detail


def _npy(shape: tuple[int, ...], data: bytes = b"") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue() + data


@pytest.mark.parametrize("shape", [(10**6, 800, 1000), (10**30, 2), (6, 4, -5)])
def test_a_header_that_claims_what_is_not_there_is_refused_before_allocation(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    files = {"images.npy": _npy(shape), "labels.npy": _npy((shape[0],))}
    assert refusal(zipped(tmp_path / "a.npz", files)).code == "array_damaged"


def test_a_small_file_that_holds_a_huge_array_is_refused(tmp_path: Path) -> None:
    images = np.zeros((40, MIB), np.uint8)
    assert refusal(saved(tmp_path / "a.npz", x=images, y=np.arange(40) % 2), Limits(slack=MIB)).code == "ratio"


@pytest.mark.parametrize(
    "header",
    [
        b"\x93NUMPY\x01\x00\x10\x00__import__('os')",
        b"\x93NUMPY\x01\x00\x02\x00{(",
        b"\x93NUMPY\x07\x00",
        b"",
        b"no array",
    ],
)
def test_a_damaged_header_is_refused(tmp_path: Path, header: bytes) -> None:
    error = refusal(zipped(tmp_path / "a.npz", {"images.npy": header}))
    assert (error.code, error.entry) == ("array_damaged", "images.npy")


def test_a_truncated_npz_is_refused(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    source.write_bytes(source.read_bytes()[:-40])
    assert refusal(source).code == "damaged_archive"


def test_other_files_in_an_npz_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert refusal(tmp_path / "a.npz").code == "wrong_extension"


@pytest.mark.parametrize("code", [0xD800, 0x110000, 0xFFFFFFFF])
def test_class_names_that_are_no_unicode_are_refused(tmp_path: Path, code: int) -> None:
    names = np.array([code, 65], np.uint32).view("U1")
    error = refusal(saved(tmp_path / "a.npz", x=VECTORS, y=LABELS % 2, class_names=names))
    assert (error.code, error.entry) == ("array_damaged", "class_names.npy")
