"""Runs that start from an earlier one's weights, against a loop written out in PyTorch, and taken up again anywhere."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.spec import JobSpec, parse_spec, resolve
from tests.worker.training.little import SMALL_RUN, bars, last_of, pack_images, run
from tests.worker.training.test_loop import same_bits, stopping
from worker.training import (
    Applied,
    CheckpointReady,
    Control,
    Dataset,
    Event,
    Finished,
    Resume,
    Started,
    StepsDone,
    WarmStarted,
    Weights,
    load_dataset,
    read_checkpoint,
    read_weights,
    save_checkpoint,
    train,
)
from worker.training import run as run_module
from worker.training.data import read_manifest
from worker.training.lsuv import calibrate
from worker.training.randomness import permutation
from worker.training.run import Run
from worker.training.warm_start import NotACheckpoint, earlier_of

MLP: dict[str, Any] = {"type": "mlp", "hidden": [16, 8], "norm": "batch"}
CNN: dict[str, Any] = {"type": "cnn", "widths": [4, 6], "head": [8], "norm": "batch", "padding": "same"}
SHA256 = "c" * 64


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_images(tmp_path_factory.mktemp("bars"), train=bars(90))


@pytest.fixture(scope="module")
def brighter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same kind of images, none of them dark."""
    images, classes = bars(70, seed=3)
    return pack_images(tmp_path_factory.mktemp("brighter"), train=(images // 2 + 100, classes))


@pytest.fixture(scope="module")
def perceptron(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Weights:
    return trained(packed, {"network": MLP}, tmp_path_factory.mktemp("perceptron"))


@pytest.fixture(scope="module")
def convolutions(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Weights:
    return trained(packed, {"network": CNN}, tmp_path_factory.mktemp("convolutions"))


def trained(packed: Path, words: dict[str, Any], folder: Path) -> Weights:
    """The weights of a run, as they come from disk."""
    save_checkpoint(last_of(run(packed, words)), folder / "weights", folder / "state")
    return read_weights(folder / "weights")


def prepared(packed: Path, words: dict[str, Any], weights: Weights) -> tuple[JobSpec, Dataset]:
    sent = {**SMALL_RUN, **words, "warm_start": {"checkpoint": "ckpt_1", **words.get("warm_start", {})}}
    spec = resolve(parse_spec(sent), read_manifest(packed), earlier_of(weights, "ckpt_1", SHA256))
    return spec, load_dataset(packed, spec, packed / "cache")


def warm(packed: Path, words: dict[str, Any], weights: Weights) -> list[Event]:
    return list(train(*prepared(packed, words, weights), start_from=weights))


def told(events: list[Event]) -> WarmStarted:
    [event] = [event for event in events if isinstance(event, WarmStarted)]
    return event


def begun(packed: Path, words: dict[str, Any], weights: Weights | None) -> dict[str, Tensor]:
    """The weights of a run before its first step."""
    if weights is not None:
        return dict(Run(*prepared(packed, words, weights), "cpu", weights).network.state_dict())
    spec = resolve(parse_spec({**SMALL_RUN, **words}), read_manifest(packed))
    return dict(Run(spec, load_dataset(packed, spec, packed / "cache"), "cpu").network.state_dict())


# What is loaded


def test_all_weights_are_the_checkpoints(packed: Path, perceptron: Weights) -> None:
    start = begun(packed, {"network": MLP, "seed": 5}, perceptron)
    assert start.keys() == perceptron.tensors.keys()
    assert all(torch.equal(start[name], perceptron.tensors[name]) for name in start)


def test_layers_that_are_not_taken_start_as_without_a_checkpoint(packed: Path, convolutions: Weights) -> None:
    words = {"network": CNN, "seed": 5}
    start = begun(packed, {**words, "warm_start": {"layers": ["convolutions"]}}, convolutions)
    anew = begun(packed, words, None)
    for name, value in start.items():
        source = convolutions.tensors if name.startswith("convolutions") else anew
        assert torch.equal(value, source[name]), name


def test_what_was_taken_is_told_and_is_part_of_the_summary(packed: Path, convolutions: Weights) -> None:
    words = {"network": {**CNN, "head": [12]}, "warm_start": {"layers": ["convolutions"], "freeze": ["convolutions"]}}
    events = warm(packed, words, convolutions)
    report = told(events)
    norms = ["convolutions.0", "convolutions.0.norm", "convolutions.1", "convolutions.1.norm"]
    assert (report.checkpoint, report.sha256) == ("ckpt_1", SHA256)
    assert (report.loaded, report.replaced, report.left) == (norms, ["head.0", "output"], ["head.0", "output"])
    assert report.parameters == sum(
        value.numel() for name, value in convolutions.tensors.items() if name.startswith("convolutions")
    )
    assert (report.frozen, report.frozen_until_step) == (norms, None)
    assert isinstance(events[0], Started)
    assert isinstance(events[1], WarmStarted)
    assert isinstance(events[-1], Finished)
    assert events[-1].as_json()["warm_start"] == report.as_json()


def test_a_run_without_a_checkpoint_tells_of_none(packed: Path) -> None:
    events = run(packed, {})
    assert not any(isinstance(event, WarmStarted) for event in events)
    assert isinstance(events[-1], Finished)
    assert "warm_start" not in events[-1].as_json()


def test_the_layers_of_a_sequential_go_by_their_names(packed: Path, tmp_path: Path) -> None:
    first = {"type": "dense", "units": 8, "activation": "relu", "name": "first"}
    logits = {"type": "dense", "units": 4, "name": "logits"}
    before: dict[str, Any] = {"type": "sequential", "layers": [{"type": "flatten"}, first, logits]}
    after: dict[str, Any] = {
        "type": "sequential",
        "layers": [{"type": "flatten"}, first, {"type": "dense", "units": 8, "name": "second"}, logits],
    }
    weights = trained(packed, {"network": before}, tmp_path)
    start = begun(packed, {"network": after, "warm_start": {"layers": ["first", "logits"]}}, weights)
    assert torch.equal(start["layers.1.weight"], weights.tensors["layers.1.weight"])
    assert torch.equal(start["layers.3.weight"], weights.tensors["layers.2.weight"])


def test_weights_without_a_job_are_no_checkpoint() -> None:
    with pytest.raises(NotACheckpoint):
        earlier_of(Weights({}, {"format": "pt"}), "x", SHA256)


@pytest.mark.parametrize("averaging", [{"type": "ema"}, {"type": "lookahead"}, {"type": "swa", "start": "50%"}])
def test_averages_begin_at_the_checkpoint(packed: Path, perceptron: Weights, averaging: dict[str, Any]) -> None:
    words = {"network": MLP, "training": {"epochs": 2, "batch_size": 16, "averaging": averaging}}
    average = Run(*prepared(packed, words, perceptron), "cpu", perceptron).average
    assert average is not None
    for name, value in zip(dict(average.network.named_parameters()), average.averaged, strict=True):
        assert torch.equal(value, perceptron.tensors[name])


def test_lsuv_leaves_alone_what_was_loaded(packed: Path, perceptron: Weights) -> None:
    words = {"network": MLP, "initialization": {"type": "lsuv"}, "warm_start": {"layers": ["hidden.0"]}}
    run = Run(*prepared(packed, words, perceptron), "cpu", perceptron)
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    calibrate(run)
    changed = {name for name, value in run.network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"hidden.1.weight", "output.weight"}
    assert torch.equal(before["hidden.0.weight"], perceptron.tensors["hidden.0.weight"])


def test_the_start_of_a_loaded_layer_is_said_to_be_the_checkpoints(packed: Path, perceptron: Weights) -> None:
    words = {"network": MLP, "warm_start": {"layers": ["hidden"]}}
    told, *_ = [
        event.families["initialization"] for event in warm(packed, words, perceptron) if isinstance(event, Applied)
    ]
    assert [one["start"] for one in told] == ["warm_start", "warm_start", "kaiming_normal"]
    assert ["wanted_std" in one for one in told] == [False, False, True]


# The scale of the inputs


def test_an_inherited_normalization_is_the_earlier_jobs(packed: Path, brighter: Path, perceptron: Weights) -> None:
    events = warm(brighter, {"network": MLP}, perceptron)
    assert isinstance(events[0], Started)
    assert json.dumps(events[0].normalization, sort_keys=True) == perceptron.metadata["normalization"]
    assert last_of(events).weights_metadata["normalization"] == perceptron.metadata["normalization"]
    assert told(events).normalization == "inherit"


def test_a_fitted_normalization_is_that_of_the_own_data(brighter: Path, perceptron: Weights) -> None:
    events = warm(brighter, {"network": MLP, "warm_start": {"normalization": "fit"}}, perceptron)
    alone = run(brighter, {"network": MLP})
    assert isinstance(events[0], Started)
    assert isinstance(alone[0], Started)
    assert events[0].normalization == alone[0].normalization


# Frozen layers, against PyTorch


class Reference(nn.Module):
    """The perceptron of these tests with PyTorch's own modules."""

    def __init__(self, weights: Weights, inputs: int) -> None:
        super().__init__()
        widths = (inputs, 16, 8)
        self.hidden = nn.ModuleList(nn.Linear(widths[i], widths[i + 1], bias=False) for i in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths[1:])
        self.output = nn.Linear(8, 4)
        own = {}
        for name, value in weights.tensors.items():
            index = name.removeprefix("hidden.")[:1]
            own[name.replace(f"hidden.{index}.norm", f"norms.{index}")] = value
        own |= {f"norms.{index}.num_batches_tracked": torch.tensor(0) for index in range(2)}
        self.load_state_dict(own)

    def forward(self, x: Tensor) -> Tensor:
        for dense, norm in zip(self.hidden, self.norms, strict=True):
            x = F.relu(norm(dense(x)))
        return self.output(x)  # type: ignore[no-any-return]

    def freeze_first(self, frozen: bool) -> None:
        """The first dense layer and its norm."""
        self.train()
        self.hidden[0].requires_grad_(not frozen)
        self.norms[0].requires_grad_(not frozen).train(not frozen)

    def under_engine_names(self) -> dict[str, Tensor]:
        named = {}
        for name, value in self.state_dict().items():
            index = name.removeprefix("norms.")[:1]
            named[name.replace(f"norms.{index}", f"hidden.{index}.norm")] = value
        return {name: value for name, value in named.items() if "num_batches" not in name}


L2, DECAY, RATE, CLIP, FROZEN_STEPS = 0.01, 0.02, 0.05, 0.5, 7


def written_out(packed: Path, spec: JobSpec, data: Dataset, weights: Weights) -> tuple[Reference, list[float]]:
    """Training, spelled out with autograd: penalties in the loss, `requires_grad`, `eval()` and `clip_grad_norm_`."""
    normalization = json.loads(weights.metadata["normalization"])
    images = np.load(packed / "train.inputs.npy")
    pixels = torch.from_numpy(images).float().flatten(1) / normalization["divisor"]
    inputs = (pixels - normalization["mean"][0]) / normalization["std"][0]
    targets = torch.from_numpy(np.load(packed / "train.targets.npy"))
    network = Reference(weights, inputs.shape[1])
    optimizer = torch.optim.SGD(network.parameters(), RATE, momentum=0.9)
    norms, step = [], 0
    for epoch in range(2):
        for batch in torch.split(permutation(spec.seed, epoch, len(inputs)), 16):
            network.freeze_first(step < FROZEN_STEPS)
            optimizer.zero_grad()
            kernels: list[Tensor] = [one for one in network.parameters() if one.requires_grad and one.dim() > 1]
            penalty = L2 * torch.stack([kernel.square().sum() for kernel in kernels]).sum()
            torch.autograd.backward(F.cross_entropy(network(inputs[batch]), targets[batch]) + penalty)
            moving = [one for one in network.parameters() if one.requires_grad]
            norms.append(torch.nn.utils.clip_grad_norm_(moving, CLIP).item())
            with torch.no_grad():
                torch._foreach_mul_(kernels, 1.0 - RATE * DECAY)
            optimizer.step()
            step += 1
    assert len(data.training) == len(inputs)
    return network, norms


WORDS: dict[str, Any] = {
    "dataset": {"id": "bars"},
    "network": MLP,
    "regularization": [{"type": "l2", "weight": L2}, {"type": "weight_decay", "weight": DECAY}],
    "optimizer": {"type": "sgd", "learning_rate": RATE, "momentum": 0.9},
    "clipping": {"type": "global_norm", "max_norm": CLIP},
    "warm_start": {"freeze": ["hidden.0"], "freeze_until": f"{FROZEN_STEPS} steps"},
}


def test_a_frozen_layer_is_that_of_a_loop_with_requires_grad(packed: Path, perceptron: Weights) -> None:
    spec, data = prepared(packed, WORDS, perceptron)
    events = list(train(spec, data, start_from=perceptron))
    expected, norms = written_out(packed, spec, data, perceptron)
    ended = last_of(events).weights
    for name, value in expected.under_engine_names().items():
        torch.testing.assert_close(ended[name], value, rtol=1e-5, atol=1e-6)
    measured = [norm for event in events if isinstance(event, StepsDone) for norm in event.columns["gradient_norm"]]
    np.testing.assert_allclose(measured, norms, rtol=1e-4)
    penalties = [value for event in events if isinstance(event, StepsDone) for value in event.columns["train/penalty"]]
    assert penalties[FROZEN_STEPS] > penalties[FROZEN_STEPS - 1] + 1e-3


FREEZING = [
    {"optimizer": {"type": "sgd", "momentum": 0.9}, "regularization": [{"type": "max_norm", "max": 0.1}]},
    {"optimizer": {"type": "adamw"}, "regularization": [{"type": "l1", "mode": "proximal", "weight": 0.1}]},
    {"optimizer": {"type": "nadam"}, "regularization": [{"type": "weight_decay", "weight": 0.5}]},
    {"optimizer": {"type": "rmsprop"}, "regularization": [{"type": "orthogonality", "weight": 0.5}]},
    {"optimizer": {"type": "adagrad"}, "clipping": {"type": "adaptive"}, "regularization": [{"type": "sam"}]},
    {"optimizer": {"type": "muon"}},
    {"optimizer": {"type": "lion"}},
    {"optimizer": {"type": "lamb"}},
    {"optimizer": {"type": "adafactor"}},
    {"optimizer": {"type": "adam"}, "training": {"steps": 12, "averaging": {"type": "swa", "start": "50%"}}},
]


@pytest.mark.parametrize("words", FREEZING, ids=lambda words: words["optimizer"]["type"])
def test_what_is_frozen_for_good_keeps_every_bit(packed: Path, perceptron: Weights, words: dict[str, Any]) -> None:
    first = last_of(warm(packed, {**WORDS, **words, "warm_start": {"freeze": ["hidden.0"]}}, perceptron))
    for name, value in perceptron.tensors.items():
        assert torch.equal(first.weights[name], value) == name.startswith("hidden.0"), name
    averages = {
        name: value for name, value in first.state.tensors.items() if name.startswith("optimizer/hidden.0.weight")
    }
    assert averages
    assert all(not value.any() or name.endswith("mu_product") for name, value in averages.items())


@pytest.mark.parametrize("freeze", ["body", ["hidden"]])
def test_only_the_output_learns_behind_a_frozen_body(packed: Path, perceptron: Weights, freeze: Any) -> None:
    ended = last_of(warm(packed, {"network": MLP, "warm_start": {"freeze": freeze}}, perceptron)).weights
    changed = {name for name, value in ended.items() if not torch.equal(value, perceptron.tensors[name])}
    assert changed == {"output.weight", "output.bias"}


# Resuming


@pytest.fixture
def every_step_is_flushed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "FLUSH_STEPS", 1)


def interrupted(packed: Path, words: dict[str, Any], weights: Weights, folder: Path, stop: int) -> CheckpointReady:
    """The last checkpoint of a run that was stopped behind this step; what came after had no weights to start from."""
    spec, data = prepared(packed, words, weights)
    resume: Resume | None = None
    for start, until in ((weights, stop), (None, None)):
        control = Control()
        events = train(spec, data, start_from=start, resume_from=resume, control=control)
        newest = last_of(list(stopping(events, control, until)))
        save_checkpoint(newest, folder / "weights", folder / "state")
        resume = read_checkpoint(folder / "weights", folder / "state")
    return newest


RESUMED: list[dict[str, Any]] = [
    {"optimizer": {"type": "adamw", "learning_rate": 0.01}},
    {"optimizer": {"type": "radam", "learning_rate": 0.01}, "training": {"steps": 12, "precision": "float16"}},
    {
        "optimizer": {"type": "sgd", "momentum": 0.9, "learning_rate": 0.05},
        "training": {"epochs": 2, "batch_size": 16, "averaging": {"type": "swa", "start": "25%"}},
    },
    {
        "optimizer": {"type": "rmsprop", "momentum": 0.5},
        "training": {"epochs": 2, "batch_size": 16, "averaging": {"type": "ema", "half_life": "3 steps"}},
    },
]


@pytest.mark.usefixtures("every_step_is_flushed")
@pytest.mark.parametrize("words", RESUMED, ids=lambda words: words["optimizer"]["type"])
@pytest.mark.parametrize("stop", [1, 6, 7, 8])
def test_a_resume_on_either_side_of_the_thaw_ends_with_the_same_bits(
    brighter: Path, perceptron: Weights, tmp_path: Path, words: dict[str, Any], stop: int
) -> None:
    words = {**WORDS, "regularization": [*WORDS["regularization"], {"type": "dropout", "rate": 0.2}], **words}
    undisturbed = last_of(warm(brighter, words, perceptron))
    ended = interrupted(brighter, words, perceptron, tmp_path, stop)
    assert same_bits(undisturbed, ended)
    assert undisturbed.weights_metadata == ended.weights_metadata


@pytest.mark.usefixtures("every_step_is_flushed")
@pytest.mark.parametrize("thaw", ["5 steps", "6 steps", None])
def test_an_evaluation_after_a_resume_knows_what_was_frozen(
    packed: Path, perceptron: Weights, tmp_path: Path, thaw: str | None
) -> None:
    """An epoch has six steps; averages begin at its end, where all norms but frozen ones are refreshed."""
    words = {**WORDS, "training": {"epochs": 3, "batch_size": 16, "averaging": {"type": "swa", "start": "6 steps"}}}
    words["warm_start"] = {"freeze": ["hidden.0"], "freeze_until": thaw}
    undisturbed = last_of(warm(packed, words, perceptron))
    assert same_bits(undisturbed, interrupted(packed, words, perceptron, tmp_path, 6))


def test_a_resumed_run_remembers_what_it_started_from(packed: Path, perceptron: Weights, tmp_path: Path) -> None:
    events = warm(packed, {"network": MLP}, perceptron)
    [first, *_] = [event for event in events if isinstance(event, CheckpointReady)]
    save_checkpoint(first, tmp_path / "weights", tmp_path / "state")
    resume = read_checkpoint(tmp_path / "weights", tmp_path / "state")
    again = list(train(*prepared(packed, {"network": MLP}, perceptron), resume_from=resume))
    assert not any(isinstance(event, WarmStarted) for event in again)
    assert isinstance(again[-1], Finished)
    assert again[-1].warm_start == told(events).as_json()


def test_the_thaw_is_a_duration_of_the_run(packed: Path, perceptron: Weights) -> None:
    words = {"network": MLP, "training": {"epochs": 4, "batch_size": 16}}
    for until, expected in (("1 epochs", 5), ("25%", 5), ("3 steps", 3)):
        report = told(warm(packed, {**words, "warm_start": {"freeze": "body", "freeze_until": until}}, perceptron))
        assert report.frozen_until_step == expected
