from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.spec.manifest import ImageManifest, ImageSplit
from tests.worker.ingest.uploads import Files, folder, image, load, pack, refusal, tarred, zipped
from worker.ingest.packed import MANIFEST


def packed_images(source: Path) -> tuple[ImageManifest, Path]:
    manifest, target = pack(source)
    assert isinstance(manifest, ImageManifest)
    return manifest, target


@pytest.mark.parametrize("name", ["images.zip", "images.tar", "images.tar.gz"])
def test_every_archive_of_one_folder_packs_to_the_same_bytes(tmp_path: Path, name: str) -> None:
    archive = tarred(tmp_path / name, folder(), "w:gz" if name.endswith("gz") else "w") if "tar" in name else None
    _, target = packed_images(archive or zipped(tmp_path / name, folder()))
    reference = dict(reversed(folder().items()))
    _, expected = packed_images(zipped(tmp_path / "reversed.zip", reference))
    assert (target / MANIFEST).read_bytes() == (expected / MANIFEST).read_bytes()


def test_packed_pixels_are_those_that_pillow_reads(tmp_path: Path) -> None:
    files = folder()
    manifest, target = packed_images(zipped(tmp_path / "a.zip", files))
    (tmp_path / "one.png").write_bytes(files["train/horse/1.png"])
    inputs = load(target, manifest.splits["train"].inputs)
    assert inputs.shape == (6, 4, 6, 3)
    assert np.array_equal(inputs[4], np.asarray(Image.open(tmp_path / "one.png")))


def test_classes_are_sorted_folder_names(tmp_path: Path) -> None:
    manifest, target = packed_images(zipped(tmp_path / "a.zip", folder()))
    assert manifest.classes == ("cat", "horse")
    assert load(target, manifest.splits["train"].targets).tolist() == [0, 0, 0, 1, 1, 1]
    assert manifest.splits["test"].class_counts == (1, 1)


def test_mean_and_spread_are_those_of_the_training_part(tmp_path: Path) -> None:
    manifest, target = packed_images(zipped(tmp_path / "a.zip", folder()))
    pixels = load(target, manifest.splits["train"].inputs).astype(np.float64) / 255
    np.testing.assert_allclose(manifest.mean, pixels.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(manifest.std, pixels.std(axis=(0, 1, 2)))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_images_of_several_sizes_are_laid_end_to_end(tmp_path: Path, mode: str) -> None:
    files = {"a/1.png": image(5, 3, mode=mode), "b/1.png": image(2, 7, mode=mode)}
    manifest, target = packed_images(zipped(tmp_path / "a.zip", files))
    split: ImageSplit = manifest.splits["train"]
    assert manifest.size is None
    assert load(target, split.sizes).tolist() == [[3, 5], [7, 2]]
    assert load(target, split.offsets).tolist() == [0, 15 * manifest.channels, 29 * manifest.channels]
    assert load(target, split.inputs).shape == (29 * manifest.channels,)


def test_grey_images_become_three_channels_when_a_coloured_one_follows(tmp_path: Path) -> None:
    files = {"test/a/1.png": image(mode="L", seed=1), "train/a/1.png": image(mode="L"), "train/a/2.png": image()}
    manifest, target = packed_images(zipped(tmp_path / "a.zip", files))
    assert manifest.channels == 3
    inputs = load(target, manifest.splits["test"].inputs)
    grey = np.random.default_rng(1).integers(0, 256, (4, 6), np.uint8)
    assert np.array_equal(inputs[0], np.stack([grey] * 3, axis=-1))


LAYOUTS: list[tuple[Files, set[str], tuple[str, ...]]] = [
    ({"cat/1.png": b"", "dog/1.png": b""}, {"train"}, ("cat", "dog")),
    ({"cat/1.png": b""}, {"train"}, ("cat",)),
    ({"wrap/per/cat/1.png": b"", "wrap/per/dog/1.png": b""}, {"train"}, ("cat", "dog")),
    ({"wrap/train/cat/1.png": b"", "wrap/valid/cat/1.png": b""}, {"train", "validation"}, ("cat",)),
    ({"train/cat/1.png": b""}, {"train"}, ("cat",)),
    ({"wrap/Training/cat/1.png": b"", "wrap/readme.md": b"hello"}, {"train"}, ("cat",)),
    ({"train\\cat\\1.png": b"", "test\\cat\\1.png": b""}, {"train", "test"}, ("cat",)),
    ({"bus/1.png": b"", "train/1.png": b"", "van/1.png": b""}, {"train"}, ("bus", "train", "van")),
    ({"cat/kitten/1.png": b"", "cat/2.png": b"", "dog/1.png": b""}, {"train"}, ("cat", "dog")),
]


@pytest.mark.parametrize(("files", "splits", "classes"), LAYOUTS)
def test_folders_tell_splits_and_classes(
    tmp_path: Path, files: Files, splits: set[str], classes: tuple[str, ...]
) -> None:
    filled = {name: data or image() for name, data in files.items()}
    manifest, _ = packed_images(zipped(tmp_path / "a.zip", filled))
    assert (set(manifest.splits), manifest.classes) == (splits, classes)


def test_what_is_no_image_is_left_out_and_named(tmp_path: Path) -> None:
    extra = {
        "__MACOSX/train/cat/._0.png": b"x",
        "train/cat/.DS_Store": b"x",
        "train/cat/0.gif": b"GIF8",
        "top.png": image(),
    }
    manifest, _ = packed_images(zipped(tmp_path / "a.zip", {**folder(), **extra}))
    assert {skipped.entry for skipped in manifest.skipped} == set(extra)
    assert manifest.skipped_total == 4


def test_a_few_damaged_images_are_left_out_and_named(tmp_path: Path) -> None:
    files = {f"cat/{number:02}.png": image(seed=number) for number in range(40)}
    files["cat/07.png"] = files["cat/07.png"][:60]
    manifest, _ = packed_images(zipped(tmp_path / "a.zip", files))
    assert manifest.splits["train"].examples == 39
    assert [skipped.entry for skipped in manifest.skipped] == ["cat/07.png"]
    assert manifest.skipped[0].reason.startswith("damaged: ")


def test_many_damaged_images_refuse_the_upload_and_name_one(tmp_path: Path) -> None:
    error = refusal(zipped(tmp_path / "a.zip", {"cat/1.png": image(), "cat/2.png": image()[:60]}))
    assert (error.code, error.entry) == ("damaged_images", "cat/2.png")
    assert [entry.entry for entry in error.skipped][-1] == "cat/2.png"
    assert all(entry.reason.startswith("damaged: ") for entry in error.skipped)
    assert error.detail.startswith("1 of 2 images cannot be decoded, and at most 5% may be left out")


@pytest.mark.parametrize(
    ("files", "code", "entry"),
    [
        ({"readme.txt": b"hello"}, "no_images", None),
        ({"1.png": b"", "2.png": b""}, "no_class_folders", None),
        ({"train/1.png": b""}, "no_class_folders", None),
        ({"train/cat/1.png": b"", "test/dog/1.png": b""}, "class_without_training", "test/dog/1.png"),
        ({"cat/1.png": b"", "cat/more.zip": b"PK"}, "nested_archive", "cat/more.zip"),
        ({"cat/1.png": b"PK\x03\x04 and so on"}, "nested_archive", "cat/1.png"),
    ],
)
def test_a_folder_that_is_no_data_set_is_refused(tmp_path: Path, files: Files, code: str, entry: str | None) -> None:
    error = refusal(zipped(tmp_path / "a.zip", {name: data or image() for name, data in files.items()}))
    assert (error.code, error.entry) == (code, entry)
