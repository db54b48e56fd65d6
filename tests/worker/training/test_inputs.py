"""Pixels are scaled channel by channel, whatever the order of memory, and batches are the same in pieces."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.spec.manifest import ImageManifest
from tests.worker.training.little import bars, load, pack_images, write
from worker.training import geometry
from worker.training.boxes import LARGE
from worker.training.inputs import Feed, affine_of_channels
from worker.training.schedule import Clock

CROPS = {"type": "random_resized_crop"}
IMAGES = torch.rand(3, 3, 7, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("scale", [torch.tensor([0.5, 2.0, 3.0]), torch.tensor([0.25])])
def test_every_channel_has_its_scale_and_offset(layout: torch.memory_format, scale: Tensor) -> None:
    scale, offset = scale.view(1, -1, 1, 1), -scale.view(1, -1, 1, 1)
    scaled = affine_of_channels(IMAGES.contiguous(memory_format=layout), scale, offset)
    assert torch.equal(scaled, torch.addcmul(offset, IMAGES, scale))
    assert scaled.is_contiguous(memory_format=torch.channels_last)


def test_what_is_there_already_is_filled() -> None:
    for layout in (torch.contiguous_format, torch.channels_last):
        out = torch.empty_like(IMAGES, memory_format=torch.channels_last)
        images, scale = IMAGES.contiguous(memory_format=layout), torch.full((1, 1, 1, 1), 2.0)
        assert affine_of_channels(images, scale, -scale, out) is out
        assert torch.equal(out, torch.addcmul(-scale, IMAGES, scale))
        assert affine_of_channels(images, None, scale, out) is out
        assert torch.equal(out, IMAGES)


def test_without_a_scale_nothing_changes() -> None:
    same = affine_of_channels(IMAGES, None, torch.zeros(1, 1, 1, 1))
    assert torch.equal(same, IMAGES)
    assert same.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("size", [9, 140])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("words", [{"type": "random_resized_crop", "p": 0.7}, {"type": "rotation", "p": 0.7}])
def test_a_batch_made_in_pieces_is_the_same_and_counts_the_same(
    size: int, channels: int, words: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = pack_images(tmp_path, train=bars(12, size, channels))
    spec, data = load(packed, {"dataset": {"id": "x"}, "augmentation": [words, {"type": "horizontal_flip"}]})
    feeds = [Feed(spec, data, Clock(1, 1), "cpu") for _ in range(2)]
    whole, _ = feeds[0].training_batch(data.training, torch.arange(12), epoch=0, step=0)
    monkeypatch.setattr(geometry, "PIECE", 5 * size * size * channels)
    pieces, _ = feeds[1].training_batch(data.training, torch.arange(12), epoch=0, step=0)
    assert torch.equal(whole, pieces)
    assert feeds[0].tally.read() == feeds[1].tally.read()
    assert 2 <= feeds[0].tally.read()["augmentation/0/changed"] <= 11
    plain, _ = feeds[0].evaluation_batch(data.training, torch.arange(12))
    assert ((whole - plain).abs().amax((1, 2, 3)) < 1e-5).sum() <= 6
    assert 140 * 140 < LARGE < 3 * 140 * 140


@pytest.mark.parametrize("brightest", [1, 255])
def test_faint_images_are_not_rounded_to_whole_levels(brightest: int, tmp_path: Path) -> None:
    images, classes = bars(12, 224)
    packed = pack_images(tmp_path, train=(images // 128 * brightest, classes))
    manifest = ImageManifest.model_validate_json((packed / "manifest.json").read_bytes())
    write(packed, manifest.model_copy(update={"std": (0.3 * brightest / 255,)}))
    spec, data = load(packed, {"dataset": {"id": "x", "normalize": "none"}, "augmentation": [CROPS]})
    batch, _ = Feed(spec, data, Clock(1, 1), "cpu").training_batch(data.training, torch.arange(12), epoch=0, step=0)
    assert torch.equal(batch, batch.round()) == (brightest == 255)
    assert batch.abs().amax() > 0
