import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.worker.training.little import bars, load, pack_images, pack_vectors, run
from worker.training.inputs import Feed
from worker.training.previews import preview_augmentation

SHIFT = {"type": "affine", "rotation": 30, "shift": [0.2, 0.2]}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_images(tmp_path_factory.mktemp("bars"), train=bars(64, channels=3))


def shown(packed: Path, **words: Any) -> tuple[dict[str, Any], np.ndarray[Any, np.dtype[np.uint8]]]:
    """What is told, and the cells (rows, columns, height, width, channels) in stored pixels."""
    told, png = preview_augmentation(*load(packed, words))
    assert png is not None
    picture, pixels = told["picture"], np.asarray(Image.open(io.BytesIO(png)))
    height, width, gap = picture["cell_height"], picture["cell_width"], picture["gap"]
    cells = [
        [pixels[row * (height + gap) :, column * (width + gap) :][:height:12, :width:12, :3] for column in range(8)]
        for row in range(2)
    ]
    return told, np.array(cells)


def test_above_stand_the_examples_as_they_are_stored(packed: Path) -> None:
    told, cells = shown(packed, augmentation=[SHIFT])
    stored, labels = bars(64, channels=3)
    examples = [cell["example"] for cell in told["picture"]["cells"][:8]]
    np.testing.assert_array_equal(cells[0], stored[examples])
    names = ("top", "bottom", "left", "right")
    assert [cell["label"] for cell in told["picture"]["cells"][:8]] == [names[labels[one]] for one in examples]


def test_below_stands_what_the_first_step_of_a_run_sees(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = {"augmentation": [SHIFT, {"type": "mixup"}], "training": {"steps": 1, "batch_size": 16}}
    _, cells = shown(packed, **words)
    seen, plain = [], Feed.training_batch

    def watched(feed: Feed, *arguments: Any, **named: Any) -> Any:
        batch = plain(feed, *arguments, **named)
        seen.append((batch[0] - feed.offset) / (1.0 if feed.scale is None else feed.scale))
        return batch

    monkeypatch.setattr(Feed, "training_batch", watched)
    run(packed, words)
    expected = seen[0][:8].clamp(0, 255).round().byte().permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(cells[1], expected)


def test_the_seed_decides(packed: Path) -> None:
    spec, data = load(packed, {"augmentation": [SHIFT], "seed": 5})
    again = load(packed, {"augmentation": [SHIFT], "seed": 6})
    assert preview_augmentation(spec, data) == preview_augmentation(spec, data) != preview_augmentation(*again)


def test_what_begins_later_is_told_apart_from_what_changes_nothing(packed: Path) -> None:
    told, _ = shown(packed, augmentation=[{"type": "horizontal_flip", "p": 1.0}, {"type": "invert", "from": "50%"}])
    flip, invert = told["operations"]
    assert (flip["acts"], flip["changed"]) == (True, 16)
    assert (invert["acts"], invert["examples"]) == (False, 0)


def test_mixed_examples_say_of_what(packed: Path) -> None:
    told, _ = shown(packed, augmentation=[{"type": "mixup", "alpha": 8.0, "p": 1.0}], seed=3)
    assert any("%" in cell["label"] for cell in told["picture"]["cells"][8:])
    assert not any("%" in cell["label"] for cell in told["picture"]["cells"][:8])


def test_a_large_image_is_scaled_down(tmp_path: Path) -> None:
    packed = pack_images(tmp_path, train=bars(16, size=300))
    told, png = preview_augmentation(*load(packed, {"training": {"steps": 1, "batch_size": 8}}))
    assert (told["picture"]["cell_width"], png is not None) == (128, True)


def test_vectors_have_figures_and_no_picture(tmp_path: Path) -> None:
    inputs = torch.randn(40, 5).numpy()
    packed = pack_vectors(tmp_path, inputs, (inputs[:, 0] > 0).astype(np.int64), ("no", "yes"))
    told, png = preview_augmentation(*load(packed, {"augmentation": [{"type": "gaussian_noise", "std": 0.1}]}))
    assert (told["picture"], png) == (None, None)
    assert told["operations"][0]["changed"] == 16
