import time
from typing import Any, get_args

import pytest

from models.spec.clipping import Clipping
from tests.models.spec.specs import FASHION, errors_of, raw

SECRET = "hunter2-in-the-wrong-place"


def only(sent: object) -> tuple[str, str, str | None]:
    (error,) = errors_of(sent)
    return error.pointer, error.code, error.suggestion


TWINS = [{"type": "flatten"}, {"type": "flatten", "name": "layers.0"}]
MISTAKES: list[tuple[dict[str, Any], tuple[str, str, str | None]]] = [
    ({"optimizer": {"type": "sgd", "learning_rat": 1}}, ("/optimizer/learning_rat", "unknown_key", "learning_rate")),
    ({"initialization": {"type": "constant", "valu": 1}}, ("/initialization/valu", "unknown_key", "value")),
    ({"training": {"epoch": 3}}, ("/training/epoch", "unknown_key", "epochs")),
    ({"optimiser": {"type": "sgd"}}, ("/optimiser", "unknown_key", "optimizer")),
    ({"optimizer": {"type": "SGD"}}, ("/optimizer/type", "unknown_type", "sgd")),
    ({"initialization": {"type": "he"}}, ("/initialization/type", "unknown_type", "he_normal")),
    ({"initialization": {"type": "he_normal", "mod": "fan_in"}}, ("/initialization/mod", "unknown_key", "mode")),
    ({"optimizer": {"type": "adam", "lr": 0.1}}, ("/optimizer/lr", "unknown_key", "learning_rate")),
    ({"network": {"type": "gru", "hidden_size": 8}}, ("/network/hidden_size", "unknown_key", "width")),
    ({"regularization": [{"type": "dropout", "p": 0.5}]}, ("/regularization/0/p", "unknown_key", "rate")),
    ({"schedule": {"type": "CosineAnnealingLR"}}, ("/schedule/type", "unknown_type", "cosine")),
    ({"clipping": {"type": "clipnorm"}}, ("/clipping/type", "unknown_type", "norm")),
    ({"clipping": {"type": "global_norm_clipping"}}, ("/clipping/type", "unknown_type", "global_norm")),
    ({"augmentation": [{"type": "RandomRotation"}]}, ("/augmentation/0/type", "unknown_type", "rotation")),
    ({"augmentation": [{"type": "random_rotation"}]}, ("/augmentation/0/type", "unknown_type", "rotation")),
    ({"schedule": {"typ": "cosine"}}, ("/schedule/typ", "unknown_key", "type")),
    ({"schedule": {}}, ("/schedule/type", "missing", None)),
    ({"regularization": [{"type": "dropout", "rate": 1}]}, ("/regularization/0/rate", "less_than", None)),
    ({"regularization": [{"type": "dropout", "rate": 1e-5}]}, ("/regularization/0/rate", "too_fine", None)),
    ({"regularization": [{"type": "l2", "target": "kernel"}]}, ("/regularization/0/target", "not_allowed", "kernels")),
    ({"augmentation": [{"type": "affine", "zoom": [1]}]}, ("/augmentation/0/zoom", "too_short", None)),
    ({"training": {"epochs": 1, "precision": "float32x"}}, ("/training/precision", "not_allowed", "float32")),
    ({"training": {"epochs": 1, "steps": 1}}, ("/training", "training_length", None)),
    ({"training": {"epochs": "3"}}, ("/training/epochs", "int_type", None)),
    ({"training": {"epochs": 10**9}}, ("/training/epochs", "less_than_equal", None)),
    ({"training": {"epochs": 1, "batch_size": 0}}, ("/training/batch_size", "greater_than_equal", None)),
    ({"optimizer": {"type": "sgd", "learning_rate": -1}}, ("/optimizer/learning_rate", "greater_than", None)),
    ({"optimizer": {"type": "sgd", "learning_rate": "0.1"}}, ("/optimizer/learning_rate", "float_type", None)),
    ({"network": {"type": "mlp", "hidden": [10**9]}}, ("/network/hidden/0", "too_large", None)),
    ({"network": {"type": "resnet", "depth": 19}}, ("/network/depth", "depth", None)),
    (
        {"dataset": {"id": "d", "validation": {"fration": 0.1}}},
        ("/dataset/validation/fration", "unknown_key", "fraction"),
    ),
    ({"network": {"type": "sequential", "layers": TWINS}}, ("/network/layers", "duplicate_name", None)),
    ({"dataset": {"id": "d", "a/b~": 1}}, ("/dataset/a~1b~0", "unknown_key", None)),
    ({"name": "a\0b"}, ("/name", "text", None)),
    ({"name": "\ud800"}, ("/name", "text", None)),
    ({"seed": float("nan")}, ("/seed", "not_finite", None)),
    ({"seed": 10**40}, ("/seed", "number_too_large", None)),
]


@pytest.mark.parametrize(("families", "expected"), MISTAKES)
def test_one_mistake_is_one_error_where_it_was_made(
    families: dict[str, Any], expected: tuple[str, str, str | None]
) -> None:
    assert only(raw(**families)) == expected


def test_all_errors_are_told_at_once() -> None:
    sent = {**raw(), "clipping": {"type": "global_norm", "max_norm": 0}, "optimizer": {"type": "adm"}, "seed": -1}
    pointers = {error.pointer for error in errors_of(sent)}
    assert pointers == {"/clipping/max_norm", "/optimizer/type", "/seed"}


def test_an_unknown_type_lists_the_known_ones() -> None:
    (error,) = errors_of(raw(clipping={"type": "by_hand"}))
    known = [argument.model_fields["type"].default for argument in get_args(get_args(Clipping)[0])]
    assert error.allowed == known


def test_a_key_of_another_family_says_where_it_belongs() -> None:
    (error,) = errors_of(raw(learning_rate=0.1))
    assert "belongs to `optimizer`" in error.detail


LAYER = {"type": "dense", "units": 1}
PROXIMAL = {"type": "l1", "mode": "proximal"}
OTHERS: list[tuple[dict[str, Any], str]] = [
    ({"network": {"type": "lstm", "hidden": [8]}}, "`hidden` is for `mlp`"),
    ({"optimizer": {"type": "adam", "momentum": 0.9}}, "`momentum` is for `sgd`, `rmsprop`, `muon`"),
    (
        {"network": {"type": "sequential", "layers": [{**LAYER, "regularization": [PROXIMAL]}]}},
        "`l1` has `mode` in the job's own `regularization`, not here",
    ),
]


@pytest.mark.parametrize(("families", "detail"), OTHERS)
def test_a_key_of_another_technique_says_whose_it_is(families: dict[str, Any], detail: str) -> None:
    (error,) = errors_of(raw(**families))
    assert detail in error.detail


def test_a_list_that_is_too_long_is_told_in_plain_words() -> None:
    (error,) = errors_of(raw(network={"type": "sequential", "layers": [LAYER] * 600}))
    assert (error.code, error.detail) == ("too_long", "At most 512 entries, not 600")


def test_a_width_of_a_billion_comes_with_its_memory() -> None:
    (error,) = errors_of(raw(network={"type": "mlp", "hidden": [10**9]}))
    assert "4 GB" in error.detail


@pytest.mark.parametrize(
    "path", [("name",), ("optimizer",), ("optimizer", "type"), ("training", "epochs"), ("dataset", "id")]
)
def test_what_was_sent_is_never_repeated(path: tuple[str, ...]) -> None:
    sent = raw(**FASHION)
    place = sent
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = SECRET * 20
    assert errors_of(sent)
    assert all(SECRET not in f"{error}" for error in errors_of(sent))


@pytest.mark.parametrize("sent", [None, [], "spec", 3, {}, {"dataset": None}, {1: 2}, {"name": object()}])
def test_what_is_no_spec_is_refused(sent: object) -> None:
    assert errors_of(sent)


def test_nesting_without_end_is_refused() -> None:
    sent: Any = {}
    for _ in range(20_000):
        sent = {"dataset": sent}
    (error,) = errors_of(sent)
    assert error.code == "too_deep"


def test_a_refusal_takes_less_than_a_tenth_of_a_second() -> None:
    sent = raw(**FASHION, learning_rate=1, seed=-1)
    errors_of(sent)
    start = time.perf_counter()
    errors_of(sent)
    assert time.perf_counter() - start < 0.1


def test_a_spec_made_to_be_wrong_is_answered_in_short() -> None:
    errors = errors_of(raw(network={"type": "mlp", **{f"key {index}": 1 for index in range(5_000)}}))
    assert (len(errors), errors[-1].detail) == (201, "… and 4,800 more")
