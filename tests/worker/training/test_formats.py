"""What any release has written is read, and gone on with, for ever."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from models.formats import FORMAT
from tests.worker.training.little import last_of, load
from worker.training import read_checkpoint, train
from worker.training.checkpoint import FORMAT_VERSION, UnknownFormat, read_tensors, save_atomically

FIXTURES = Path(__file__).parents[2] / "fixtures"
FORMATS = sorted(path.name for path in FIXTURES.glob("format-*"))


def test_every_format_has_its_fixture() -> None:
    assert [f"format-{number}" for number in range(1, FORMAT + 1)] == FORMATS
    assert FORMAT_VERSION <= FORMAT


@pytest.mark.parametrize("name", FORMATS)
def test_a_run_of_an_earlier_release_is_gone_on_with(name: str, tmp_path: Path) -> None:
    """Up to rounding: another torch may compute other last bits."""
    packed = Path(shutil.copytree(FIXTURES / name / "packed", tmp_path / "packed"))  # beside it a cache may be made
    spec, data = load(packed, json.loads((FIXTURES / name / "spec.json").read_text()))
    middle = read_checkpoint(FIXTURES / name / "middle.safetensors", FIXTURES / name / "middle.state.safetensors")
    end = read_checkpoint(FIXTURES / name / "end.safetensors", FIXTURES / name / "end.state.safetensors")
    assert 0 < middle.state.progress["step"] < end.state.progress["step"]
    reached = last_of(list(train(spec, data, resume_from=middle)))
    assert reached.step == end.state.progress["step"]
    for key, tensor in end.weights.items():
        torch.testing.assert_close(reached.weights[key], tensor, rtol=1e-3, atol=1e-4)


def test_a_newer_format_is_refused_by_its_number(tmp_path: Path) -> None:
    tensors, metadata = read_tensors(FIXTURES / FORMATS[-1] / "middle.state.safetensors")
    newer = {**metadata, "format_version": str(FORMAT_VERSION + 1)}
    save_atomically(tmp_path / "state", tensors, newer)
    with pytest.raises(UnknownFormat, match=f"format {FORMAT_VERSION + 1}, and this release reads up to"):
        read_checkpoint(FIXTURES / FORMATS[-1] / "middle.safetensors", tmp_path / "state")
