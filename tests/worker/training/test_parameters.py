"""Starts, regularizations, augmentations, clippings, schedules: another value of any parameter is another run."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.spec import catalog
from tests.worker.training.turned_on import CNN, RESNET, case_of, change, pack, told

Words = dict[str, Any]
Parameter = tuple[str, str, str]

FAMILIES = ("initialization", "regularization", "augmentation", "clipping", "schedule")
DEEPER: Words = {"network": {**CNN, "widths": [4, 4]}}
NOISY_BIAS: Words = {"bias": {"type": "normal", "std": 1.0}}
LONGER: Words = {"training": {"epochs": 5, "batch_size": 12}}

OTHERS: dict[str, Any] = {
    "overrides": [{"target": "dense", "initialization": {"type": "constant", "value": 0.3}}],
    "zero_residual": True,
    "bias": {"type": "constant", "value": 0.5},
    "target": ["output"],
    "after": ["convolutions.0"],
    "exempt": [],
    "from": "3 steps",
    "until": "3 steps",
    "warmup": {"duration": "3 steps"},
    "rho": 0.5,
    "decay": "80%",
    "timescale": "2 steps",
    "milestones": ["1 steps"],
    "every": "2 steps",
    "t_0": "2 steps",
    "step_up": "1 steps",
    "step_size": "2 steps",
    "offset": "2 steps",
    "brightness_range": [0.5, 0.6],
    "block_size": 2,
    "phases": [{"schedule": {"type": "linear"}}],
    "points": [{"at": "0%", "factor": 0.5}],
}
"""Another value of a parameter where half of the default, or another word, is none."""

BESIDE: dict[Parameter, tuple[Words, Any]] = {
    ("initialization", "uniform", "low"): ({}, -0.05),
    ("initialization", "constant", "value"): ({}, 0.2),
    ("initialization", "kaiming_normal", "negative_slope"): ({"nonlinearity": "leaky_relu"}, 0.5),
    ("initialization", "kaiming_uniform", "negative_slope"): ({"nonlinearity": "leaky_relu"}, 0.5),
    ("initialization", "sparse", "std"): ({"sparsity": 0.5}, 0.02),
    ("initialization", "lsuv", "tolerance"): (NOISY_BIAS, 1e-4),
    ("initialization", "lsuv", "max_iterations"): (NOISY_BIAS, 1),
    ("regularization", "gaussian_noise", "decay"): ({"on": "gradients"}, 0.55),
    ("regularization", "spectral_norm", "iterations"): ({}, 5),
    ("augmentation", "image_data_generator", "horizontal_flip"): ({}, False),
    ("augmentation", "image_data_generator", "shear_unit"): ({"shear_range": 0.2}, "radians"),
    ("clipping", "adaptive", "exempt"): ({}, ["convolutions.0"]),
    ("clipping", "percentile", "window"): ({"percentile": 50.0}, 2),
    ("schedule", "step", "interval"): ({"step_size": "2 steps"}, "epoch"),
    ("schedule", "cosine_warm_restarts", "t_mult"): ({"t_0": "2 steps"}, 2.0),
    ("schedule", "cosine_warm_restarts", "decay"): ({"t_0": "2 steps"}, 0.5),
    ("schedule", "cyclic", "step_down"): ({"step_up": "2 steps"}, "1 steps"),
    ("schedule", "cyclic", "mode"): ({"step_up": "1 steps"}, "triangular2"),
    ("schedule", "cyclic", "gamma"): ({"mode": "exp_range"}, 0.9),
    ("schedule", "warmup_stable_decay", "shape"): ({"decay": "80%"}, "sqrt"),
    ("schedule", "warmup_stable_decay", "minimum"): ({"decay": "80%"}, 0.01),
    ("schedule", "warmup_stable_decay", "interval"): ({"decay": "80%"}, "epoch"),
    ("schedule", "plateau", "mode"): ({"threshold": 0.0}, "max"),
}
"""What a parameter needs beside it in its technique to act, and its other value."""

AROUND: dict[str, Words] = {
    "zero_residual": {"network": RESNET},
    "after": DEEPER,
    "cooldown": LONGER,
    "threshold": LONGER,
    "interpolation": {"seed": 3},
}
"""What stands in the rest of the spec."""

ALONE = {
    "nonfinite": "acts where a gradient is not finite: test_loop",
    "policy": "has one value",
    "metric": "one metric and another may well agree: test_watching",
}


COMMON = {
    **dict.fromkeys(("from", "until", "p"), "rotation"),
    **dict.fromkeys(("overrides", "zero_residual", "bias"), "kaiming_normal"),
}
"""What all of a family have: one of them stands for all."""


def parameters() -> Iterator[Parameter]:
    for family in FAMILIES:
        for name, entry in catalog()[family].items():
            for parameter in entry["parameters"]:
                if parameter not in ALONE and COMMON.get(parameter, name) == name:
                    yield family, name, parameter


def other_value(parameter: str, schema: Words) -> Any:
    default = schema.get("default")
    match default:
        case str() if "enum" in schema:
            return next(value for value in schema["enum"] if value != default)
        case bool() if parameter not in OTHERS:
            return not default
        case int() | float() if not isinstance(default, bool):
            return default // 2 or 1 if isinstance(default, int) else default / 2 or 0.25
        case [float(), float()]:
            return [value / 2 for value in default]
        case _:
            return OTHERS[parameter]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return pack(tmp_path_factory.mktemp("little"))


@pytest.mark.parametrize(("family", "name", "parameter"), list(parameters()))
def test_another_value_is_another_run(places: dict[str, Path], family: str, name: str, parameter: str) -> None:
    schema = catalog()[family][name]["parameters"][parameter]
    beside, value = BESIDE.get((family, name, parameter)) or ({}, other_value(parameter, schema))
    case = case_of(family, name)
    words = {**case.with_it, **AROUND.get(parameter, {})}
    one, other = (saying(words, family, {**beside, **said}) for said in ({}, {parameter: value}))
    assert change(told(places[case.data], one), told(places[case.data], other))[1] > 0.0


def saying(words: Words, family: str, said: Words) -> str:
    """The spec, as JSON, whose technique of this family says so."""
    technique = words[family]
    changed: Any = [{**technique[0], **said}] if isinstance(technique, list) else {**technique, **said}
    return json.dumps({**words, family: changed})
