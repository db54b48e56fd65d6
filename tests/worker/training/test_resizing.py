import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.spec.manifest import ImageSplit
from tests.worker.training.little import array_file, bars, load, pack_images
from worker.training.resizing import open_images, resize


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(5, 7), (40, 30)])
def test_resizing_is_pillows_bilinear(channels: int, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 20, channels), dtype=np.uint8)
    ours = resize(torch.from_numpy(image)[None], size)[0].numpy()
    theirs = Image.fromarray(image.squeeze()).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    assert np.abs(ours.squeeze().astype(int) - np.asarray(theirs).astype(int)).max() <= 1


def test_resized_images_are_kept_and_used_again(tmp_path: Path) -> None:
    packed = pack_images(tmp_path, train=bars(20))
    words = {"dataset": {"id": "x", "image_size": [6, 5]}}
    _, data = load(packed, words)
    (kept,) = (packed / "cache").iterdir()
    before = kept.stat()
    _, again = load(packed, words)
    assert data.training.inputs.shape == (20, 6, 5, 1)
    assert torch.equal(data.training.inputs, again.training.inputs)
    assert (kept.stat().st_ino, kept.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_disk_without_room_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    packed = pack_images(tmp_path, train=bars(20))
    with pytest.raises(OSError, match="No space"):
        load(packed, {"dataset": {"id": "x", "image_size": [6, 5]}})
    assert list((packed / "cache").iterdir()) == []


def test_images_of_several_sizes_are_resized_one_by_one(tmp_path: Path) -> None:
    one, two = bars(1, 8)[0][0], bars(1, 12, seed=1)[0][0]
    split = ImageSplit(
        examples=2,
        inputs=array_file(tmp_path, "inputs.npy", np.concatenate([one.ravel(), two.ravel()])),
        targets=array_file(tmp_path, "targets.npy", np.zeros(2, np.int64)),
        sizes=array_file(tmp_path, "sizes.npy", np.array([[8, 8], [12, 12]], np.int32)),
        offsets=array_file(tmp_path, "offsets.npy", np.array([0, 64, 208], np.int64)),
        class_counts=(2,),
    )
    images = open_images(tmp_path, split, 1, (8, 8), tmp_path / "cache")
    assert torch.equal(images[0], torch.from_numpy(one))
    assert torch.equal(images[1], resize(torch.from_numpy(two)[None], (8, 8))[0])
