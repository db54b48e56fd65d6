"""Specs to start from."""

import json
from typing import Any

from models.spec import JobSpec, SpecError, SpecInvalid, SpecWarning, check, parse_spec
from models.spec.manifest import Manifest


def raw(**families: Any) -> dict[str, Any]:
    """A spec as it is sent: the least one, and what is given."""
    least = {"dataset": {"id": "ds_1"}, "network": {"type": "mlp"}, "training": {"epochs": 2}}
    return json.loads(json.dumps({**least, **families}))  # type: ignore[no-any-return]


def spec(**families: Any) -> JobSpec:
    return parse_spec(raw(**families))


def errors_of(sent: object) -> list[SpecError]:
    try:
        parse_spec(sent)
    except SpecInvalid as invalid:
        return list(invalid.errors)
    return []


def conflicts(manifest: Manifest, **families: Any) -> dict[str, SpecError]:
    """The errors of the check by their pointers."""
    return {error.pointer: error for error in check(spec(**families), manifest)[0]}


def warnings(manifest: Manifest, **families: Any) -> dict[str, SpecWarning]:
    """The warnings of the check by their codes."""
    return {warning.code: warning for warning in check(spec(**families), manifest)[1]}


HELD_BACK = {"id": "ds_1", "validation": {"fraction": 0.1}}

ARTICLE_VECTORS: dict[str, Any] = {
    "dataset": {"id": "ds_1", "validation": {"fraction": 0.4}},
    "network": {
        "type": "sequential",
        "layers": [
            {"type": "dense", "units": 16, "activation": "relu", "regularization": [{"type": "l1", "weight": 0.001}]},
            {"type": "dropout", "rate": 0.5},
            {"type": "dense", "units": 16, "activation": "relu", "regularization": [{"type": "l2", "weight": 0.001}]},
            {"type": "dropout", "rate": 0.5},
            {"type": "dense", "units": 1},
        ],
    },
    "initialization": {"type": "xavier_normal", "mode": "fan_in"},
    "loss": {"type": "binary_cross_entropy"},
    "optimizer": {"type": "rmsprop", "learning_rate": 0.001},
    "training": {"epochs": 20, "batch_size": 512, "early_stopping": {"metric": "validation/loss", "patience": 3}},
}
ARTICLE_FOLDER: dict[str, Any] = {
    "dataset": {"id": "ds_1", "image_size": [224, 224], "validation": {"fraction": 0.1}},
    "network": {"type": "resnet", "depth": 18},
    "initialization": {"type": "kaiming_normal"},
    "regularization": [{"type": "l2", "weight": 0.0001}, {"type": "dropout", "rate": 0.5}],
    "augmentation": [
        {
            "type": "image_data_generator",
            "rotation_range": 10,
            "width_shift_range": 0.1,
            "height_shift_range": 0.1,
            "shear_range": 0.2,
            "zoom_range": 0.2,
            "horizontal_flip": True,
            "vertical_flip": False,
        }
    ],
    "loss": {"type": "cross_entropy"},
    "optimizer": {"type": "sgd", "learning_rate": 0.1, "momentum": 0.9},
    "schedule": {"type": "step", "step_size": 30, "gamma": 0.1, "offset": 1, "interval": "epoch"},
    "clipping": {"type": "global_norm", "max_norm": 1.0},
    "training": {"epochs": 100, "batch_size": 32},
}
FASHION: dict[str, Any] = {
    "dataset": {"id": "ds_1", "validation": {"split": "test"}},
    "network": {"type": "cnn", "widths": [32, 64], "head": [128]},
    "regularization": [{"type": "l2", "weight": 0.0001}, {"type": "dropout", "rate": 0.5}],
    "augmentation": [
        {"type": "affine", "rotation": 10, "shift": [0.1, 0.1], "shear": 0.2, "zoom": [0.8, 1.2], "fill": "nearest"},
        {"type": "horizontal_flip"},
    ],
    "optimizer": {"type": "sgd", "learning_rate": 0.05, "momentum": 0.9},
    "schedule": {"type": "cosine", "warmup": {"duration": "1 epochs"}},
    "clipping": {"type": "global_norm", "max_norm": 1.0},
    "training": {"epochs": 10, "batch_size": 128},
}
