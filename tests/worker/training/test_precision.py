"""Sixteen bits: close to float32, and a scale that follows PyTorch's GradScaler."""

from pathlib import Path

import pytest
import torch

from models.spec.training import Training
from tests.worker.training.little import bars, last_of, pack_images, run
from worker.training import StepsDone, Warned
from worker.training import precision as precision_module
from worker.training.precision import Precision, is_native

CNN = {"type": "cnn", "widths": [4], "head": [8], "norm": "batch"}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_images(tmp_path_factory.mktemp("bars"), train=bars(90))


@pytest.fixture
def a_scale_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision_module, "FIRST_SCALE", 256.0)


@pytest.mark.usefixtures("a_scale_that_fits")
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_sixteen_bits_train_nearly_what_thirty_two_do(packed: Path, precision: str) -> None:
    words = {"network": CNN, "optimizer": {"type": "sgd", "learning_rate": 0.05}, "regularization": [{"type": "l2"}]}
    plain = last_of(run(packed, {**words, "training": {"steps": 8, "batch_size": 16}}))
    other = last_of(run(packed, {**words, "training": {"steps": 8, "batch_size": 16, "precision": precision}}))
    assert all(value.dtype == torch.float32 for value in other.weights.values())
    assert not torch.equal(plain.weights["output.weight"], other.weights["output.weight"])
    for name, value in plain.weights.items():
        torch.testing.assert_close(other.weights[name], value, rtol=0.05, atol=0.02)


def test_the_scale_is_that_of_pytorchs_grad_scaler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision_module, "GROWTH_STEPS", 3)
    ours = Precision(Training(steps=1, precision="float16"), "cpu")
    theirs, tracker = torch.tensor(65_536.0), torch.tensor(0, dtype=torch.int32)
    for skipped in (1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0):
        ours.adapt(torch.tensor(float(skipped)))
        torch._amp_update_scale_(theirs, tracker, torch.tensor(float(skipped)), 2.0, 0.5, 3)
        assert (ours.scale, ours.good) == (theirs, tracker)


def test_a_scale_too_large_is_halved_and_its_steps_are_skipped(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision_module, "FIRST_SCALE", 2.0**20)
    events = run(packed, {"network": CNN, "training": {"steps": 9, "batch_size": 16, "precision": "float16"}})
    skipped = sum(sum(event.columns["skipped"]) for event in events if isinstance(event, StepsDone))
    assert 0 < skipped < 9
    assert last_of(events).state.tensors["precision/scale"] == 2.0 ** (20 - skipped)


@pytest.mark.usefixtures("a_scale_that_fits")
def test_gradients_are_unscaled_before_they_are_clipped(packed: Path) -> None:
    words = {"network": CNN, "clipping": {"type": "global_norm", "max_norm": 1e6}}
    plain = last_of(run(packed, {**words, "training": {"steps": 3, "batch_size": 16}}))
    other = last_of(run(packed, {**words, "training": {"steps": 3, "batch_size": 16, "precision": "float16"}}))
    assert other.metrics["train/gradient_norm"] == pytest.approx(plain.metrics["train/gradient_norm"], rel=0.05)
    assert other.metrics["train/clipped_share"] == 0.0


def test_a_scale_that_settles_slowly_is_no_divergence(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision_module, "FIRST_SCALE", 2.0**24)
    training = {"steps": 20, "batch_size": 16, "precision": "float16", "max_grad_failures": 0}
    events = run(packed, {"network": CNN, "training": training})
    assert last_of(events).step == 20


def test_sixteen_bits_are_native_where_the_processor_says_so() -> None:
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text().split() if cpuinfo.exists() else []
    if "avx2" not in flags or "avx_ne_convert" in flags:
        pytest.skip("other processors have other words for it")
    assert is_native("float32", "cpu")
    assert is_native("float16", "cpu") == ("avx512_fp16" in flags)
    assert is_native("bfloat16", "cpu") == ("avx512bw" in flags), "PyTorch takes AVX-512 alone for enough"


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_precision_that_only_costs_time_is_warned_about(
    packed: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    monkeypatch.setattr("worker.training.foreseen.is_native", lambda precision, _device: precision == "float32")
    events = run(packed, {"network": CNN, "training": {"steps": 1, "batch_size": 16, "precision": precision}})
    codes = [event.code for event in events if isinstance(event, Warned)]
    assert codes == ([] if precision == "float32" else ["slow_precision"])
