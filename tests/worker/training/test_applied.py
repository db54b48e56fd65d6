"""What a run says of itself, held against the events and the weights of the same run."""

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.spec import catalog, parse_spec
from models.spec.job import JobSpec
from tests.models.spec.specs import raw
from tests.worker.training.little import bars, last_of, pack_images, run
from worker.training import Applied, Event, StepsDone, Warned
from worker.training import dropout as dropout_module
from worker.training.applied import NoEffect
from worker.training.initialization import draw_kernel, fans
from worker.training.moments import agree, moments_of
from worker.training.randomness import generator_for

CNN = {"type": "cnn", "widths": [4], "head": [32], "padding": "same"}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_images(tmp_path_factory.mktemp("bars"), train=bars(90))


def applied(events: list[Event]) -> Any:
    return [event for event in events if isinstance(event, Applied)][-1].families


def column(events: list[Event], name: str) -> list[float]:
    return [value for event in events if isinstance(event, StepsDone) for value in event.columns[name]]


def start_of(name: str) -> Any:
    spec: JobSpec = parse_spec(raw(initialization=catalog()["initialization"][name]["example"]))
    return spec.initialization


@pytest.mark.parametrize("shape", [(96, 128), (128, 96), (64, 32, 3, 3)])
@pytest.mark.parametrize("name", [name for name in catalog()["initialization"] if name != "lsuv"])
def test_the_moments_of_a_start_are_those_of_its_draws(name: str, shape: tuple[int, ...]) -> None:
    start, weight = start_of(name), torch.empty(shape)
    with torch.no_grad():
        draw_kernel(weight, start, *fans(weight), generator_for(0, "initialization", "test"))
    wanted = moments_of(start, weight)
    assert wanted is not None
    assert agree((weight.mean().item(), weight.std(correction=0).item()), wanted, weight.numel(), start)


def test_a_start_that_is_a_tenth_too_wide_is_noticed() -> None:
    start, weight = start_of("kaiming_normal"), torch.empty(256, 256)
    wanted = moments_of(start, weight)
    assert wanted == (0.0, math.sqrt(2.0 / 256))
    assert not agree((0.0, 1.1 * wanted[1]), wanted, weight.numel(), start)


def test_every_layer_says_how_it_started(packed: Path) -> None:
    layers = applied(run(packed, {"network": CNN, "initialization": {"type": "xavier_normal"}}))["initialization"]
    assert [(layer["layer"], layer["parameters"]) for layer in layers] == [
        ("convolutions.0", 4 * 9),
        ("head.0", 4 * 16 * 32),
        ("output", 32 * 4),
    ]
    assert layers[1]["wanted_std"] == pytest.approx(math.sqrt(2 / (64 + 32)), rel=1e-12)
    assert layers[1]["std"] == pytest.approx(layers[1]["wanted_std"], rel=0.1)


def test_weights_that_do_not_start_as_asked_for_fail_the_run(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(weight: Tensor, *_: Any) -> None:
        weight.normal_(0.0, 0.01, generator=generator_for(0, "initialization", "test"))

    monkeypatch.setattr("worker.training.initialization.draw_kernel", drawn)
    with pytest.raises(NoEffect, match="not started"):
        run(packed, {"network": CNN, "initialization": {"type": "kaiming_normal"}})


def test_rates_and_shares_are_those_of_the_steps(packed: Path) -> None:
    words = {
        "schedule": {"type": "one_cycle"},
        "clipping": {"type": "percentile", "percentile": 50},
        "training": {"epochs": 4, "batch_size": 16},
    }
    events = run(packed, words)
    rates, clipped = column(events, "learning_rate"), column(events, "clipped")
    found = applied(events)
    assert found["schedule"] == {
        "type": "one_cycle",
        "first": rates[0],
        "lowest": min(rates),
        "peak": max(rates),
        "last": rates[-1],
    }
    assert 0 < found["clipping"]["clipped_share"] == sum(clipped) / len(clipped) < 1
    assert found["optimizer"]["updates"] == len(rates)


def test_a_penalty_is_that_of_the_weights_as_they_are(packed: Path) -> None:
    events = run(packed, {"regularization": [{"type": "l1", "weight": 0.001}, {"type": "l2", "weight": 0.01}]})
    kernels = [value.double().numpy() for value in last_of(events).weights.values() if value.dim() > 1]
    (l1, l2) = applied(events)["regularization"]
    assert l1["penalty"] == pytest.approx(0.001 * sum(np.abs(kernel).sum() for kernel in kernels), rel=1e-5)
    assert l2["penalty"] == pytest.approx(0.01 * sum((kernel**2).sum() for kernel in kernels), rel=1e-5)
    assert l1["parameters"] == sum(kernel.size for kernel in kernels)


def test_decay_says_what_it_leaves_out(packed: Path) -> None:
    events = run(packed, {"regularization": [{"type": "weight_decay", "weight": 0.1}]})
    biases = sum(value.numel() for value in last_of(events).weights.values() if value.dim() == 1)
    kernels = sum(value.numel() for value in last_of(events).weights.values() if value.dim() > 1)
    found = applied(events)
    assert found["regularization"] == [
        {"type": "weight_decay", "weight": 0.1, "parameters": kernels, "exempt": {"bias": biases, "norm": 0}}
    ]
    assert sum(group["parameters"] for group in found["optimizer"]["groups"] if group["weight_decay"] == 0.1) == kernels


@pytest.mark.parametrize(
    ("technique", "network"),
    [
        ({"type": "dropout", "rate": 0.3}, CNN),
        ({"type": "spatial_dropout", "rate": 0.25}, {**CNN, "widths": [64]}),
        ({"type": "alpha_dropout", "rate": 0.1}, CNN),
        ({"type": "drop_block", "rate": 0.2, "block_size": 2}, {**CNN, "widths": [16]}),
        ({"type": "drop_path", "rate": 0.2, "mode": "uniform"}, {"type": "resnet", "depth": 14, "width": 4}),
    ],
)
def test_about_as_much_is_dropped_as_was_asked_for(
    packed: Path, technique: dict[str, Any], network: dict[str, Any]
) -> None:
    words = {"network": network, "regularization": [technique], "training": {"epochs": 4, "batch_size": 16}}
    (found,) = applied(run(packed, words))["regularization"]
    assert found["dropped_share"] == pytest.approx(technique["rate"], abs=0.03)


def test_the_count_of_flips_is_that_of_the_changed_images(packed: Path) -> None:
    words = {"augmentation": [{"type": "horizontal_flip", "p": 0.5}, {"type": "mixup"}, {"type": "invert", "p": 0.0}]}
    flip, mixup, never = applied(run(packed, words))["augmentation"]
    assert flip["examples"] == mixup["examples"] == 2 * 68
    assert flip["chosen"] == flip["changed"]
    assert 0.3 * flip["examples"] < flip["chosen"] < 0.7 * flip["examples"]
    assert 0 < mixup["changed"] <= mixup["chosen"]
    assert (never["chosen"], never["changed"]) == (0, 0)


def test_operations_of_one_resampling_are_counted_one_by_one(packed: Path) -> None:
    words = {"augmentation": [{"type": "rotation", "rotation": 20, "p": 0.25}, {"type": "shear", "p": 0.75}]}
    rotation, shear = applied(run(packed, words))["augmentation"]
    assert rotation["examples"] == shear["examples"]
    assert 0 < rotation["changed"] < 0.5 * rotation["examples"] < shear["changed"]


def test_an_augmentation_acts_and_counts_only_in_its_time(packed: Path) -> None:
    words = {"augmentation": [{"type": "invert", "p": 1.0, "from": "2 steps", "until": "3 steps"}]}
    (found,) = applied(run(packed, words))["augmentation"]
    assert found == {"type": "invert", "p": 1.0, "examples": 16, "chosen": 16, "changed": 16}


def test_the_second_pass_of_sam_is_not_counted_again(packed: Path) -> None:
    words = {"augmentation": [{"type": "invert"}], "regularization": [{"type": "sam"}]}
    found = applied(run(packed, words))
    assert found["augmentation"][0]["examples"] == 2 * 68
    assert found["regularization"] == [{"type": "sam", "ascents": 10}]


@pytest.mark.parametrize(
    ("averaging", "updates"),
    [
        ({"type": "ema"}, 10),
        ({"type": "lookahead", "k": 3}, 3),
        ({"type": "swa", "start": "4 steps", "every": "2 steps"}, 4),
    ],
)
def test_updates_of_an_average_are_counted(packed: Path, averaging: dict[str, Any], updates: int) -> None:
    words = {"training": {"epochs": 2, "batch_size": 16, "averaging": averaging}}
    assert applied(run(packed, words))["averaging"] == {"type": averaging["type"], "updates": updates}


def test_an_augmentation_that_changes_no_image_fails_the_run(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unchanged(images: Tensor, *_: Any) -> Tensor:
        return images

    monkeypatch.setattr(sys.modules["worker.training.augmentation.plan"], "changed", unchanged)
    with pytest.raises(NoEffect, match="invert"):
        run(packed, {"augmentation": [{"type": "invert"}]})


def test_a_dropout_that_drops_nothing_fails_the_run(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def everything(shape: torch.Size, *_: Any) -> Tensor:
        return torch.ones(shape, dtype=torch.bool)

    monkeypatch.setattr(dropout_module, "random_mask", everything)
    with pytest.raises(NoEffect, match="dropout"):
        run(packed, {"network": CNN, "regularization": [{"type": "dropout"}], "training": {"epochs": 4}})


def test_flips_of_images_that_are_their_own_mirror_are_worth_a_word(tmp_path: Path) -> None:
    images, classes = bars(90)
    both = np.concatenate([images, images[:, :, ::-1]], axis=2)
    events = run(pack_images(tmp_path, train=(both, classes)), {"augmentation": [{"type": "horizontal_flip"}]})
    warned = [event for event in events if isinstance(event, Warned) and event.code == "no_effect"]
    assert [event.detail.split(":")[0] for event in warned] == ["/augmentation/0"]


def test_a_run_whose_every_step_was_skipped_says_so(packed: Path) -> None:
    words: dict[str, Any] = {
        "network": {"type": "mlp", "hidden": [8] * 8},
        "initialization": {"type": "normal", "std": 1e6},
        "clipping": {"type": "global_norm", "nonfinite": "skip_step"},
        "training": {"epochs": 1, "batch_size": 32, "max_grad_failures": 100},
    }
    warned = [event.detail for event in run(packed, words) if isinstance(event, Warned) and event.code == "no_effect"]
    assert warned == ["Not one gradient was finite: every step was skipped, and the weights never moved"]
