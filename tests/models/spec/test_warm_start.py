"""Which checkpoints a network may start from, by the plans of both."""

from typing import Any

import pytest

from models.spec import SpecError, check, parse_spec, resolve, task_of
from models.spec.layers import layers_of
from models.spec.manifest import Manifest
from models.spec.warm_start import WarmStart
from models.spec.warm_start_check import Earlier, frozen_layers, taken_layers
from tests.models.spec.manifests import CLOTHES, DIGITS, WINE, images, number, table, vectors
from tests.models.spec.specs import errors_of, raw, spec

SHA256 = "a" * 64
CNN: dict[str, Any] = {"type": "cnn", "widths": [8, 16], "head": [32], "norm": "batch"}
MLP: dict[str, Any] = {"type": "mlp", "hidden": [32, 16]}


def earlier(manifest: Manifest, **families: Any) -> Earlier:
    resolved = resolve(spec(**families), manifest)
    return Earlier("ckpt_1", SHA256, resolved, task_of(resolved, manifest))


def starting(**words: Any) -> dict[str, Any]:
    return {"warm_start": {"checkpoint": "ckpt_1", **words}}


CLOTHES_CNN = earlier(images(CLOTHES), network=CNN)
LETTERS = images(tuple("abcdefg"))


def refusals(manifest: Manifest, start: Earlier, **families: Any) -> list[SpecError]:
    return check(spec(**families), manifest, earlier=start)[0]


REFUSALS: list[tuple[str, Manifest, Earlier, dict[str, Any], str, str]] = [
    ("a wider layer", images(), CLOTHES_CNN, {"network": {**CNN, "widths": [8, 20]}}, "/warm_start/layers", "shape"),
    (
        "another size of images",
        images(size=(20, 20)),
        CLOTHES_CNN,
        {"network": CNN},
        "/warm_start/layers",
        "shape",
    ),
    (
        "a layer more",
        images(),
        CLOTHES_CNN,
        {"network": {**CNN, "head": [32, 32]}},
        "/warm_start/layers",
        "not_in_checkpoint",
    ),
    (
        "a layer less",
        images(),
        earlier(images(), network={"type": "mlp", "hidden": [32, 16, 16]}),
        {"network": MLP},
        "/warm_start/layers",
        "not_in_network",
    ),
    (
        "no norms here",
        images(),
        CLOTHES_CNN,
        {"network": {**CNN, "norm": "none"}, **starting(layers=["convolutions"])},
        "/warm_start/layers",
        "shape",
    ),
    (
        "a head of other classes",
        LETTERS,
        CLOTHES_CNN,
        {"network": CNN, **starting(output="keep")},
        "/warm_start/output",
        "shape",
    ),
    (
        "a head that is not taken",
        images(),
        CLOTHES_CNN,
        {"network": CNN, **starting(layers=["convolutions"], output="keep")},
        "/warm_start/output",
        "not_taken",
    ),
    (
        "an unknown prefix",
        images(),
        CLOTHES_CNN,
        {"network": CNN, **starting(layers=["convolution"])},
        "/warm_start/layers/0",
        "unknown_layer",
    ),
    (
        "half a name",
        images(),
        CLOTHES_CNN,
        {"network": CNN, **starting(freeze=["convolutions", "hea"])},
        "/warm_start/freeze/1",
        "unknown_layer",
    ),
    (
        "nothing but a new head",
        LETTERS,
        CLOTHES_CNN,
        {"network": CNN, **starting(layers=["output"])},
        "/warm_start/layers",
        "nothing_taken",
    ),
    (
        "everything frozen",
        images(),
        CLOTHES_CNN,
        {"network": CNN, **starting(freeze=["convolutions", "head", "output"])},
        "/warm_start/freeze",
        "all_frozen",
    ),
    (
        "everything frozen, by a rate of 0 too",
        images(),
        CLOTHES_CNN,
        {
            "network": CNN,
            "optimizer": {"type": "sgd", "multipliers": {"output": 0.0}},
            **starting(freeze="body"),
        },
        "/warm_start/freeze",
        "all_frozen",
    ),
    (
        "nothing frozen for a while",
        images(),
        CLOTHES_CNN,
        {"network": CNN, **starting(freeze_until="1 epochs")},
        "/warm_start/freeze_until",
        "never_acts",
    ),
    (
        "other weights",
        images(),
        CLOTHES_CNN,
        {"network": CNN, **starting(sha256="b" * 64)},
        "/warm_start/sha256",
        "other_weights",
    ),
    (
        "pixels read otherwise",
        images(),
        CLOTHES_CNN,
        {
            "network": CNN,
            "dataset": {"id": "ds_1", "normalize": "unit"},
            **starting(normalization="inherit"),
        },
        "/warm_start/normalization",
        "normalize_differs",
    ),
    (
        "other columns",
        table(number("a"), number("b"), number("c")),
        earlier(table(number("b"), number("a"), number("c")), network=MLP),
        {"network": MLP, **starting(normalization="inherit")},
        "/warm_start/normalization",
        "inputs_differ",
    ),
]


@pytest.mark.parametrize(
    ("manifest", "start", "families", "pointer", "code"),
    [case[1:] for case in REFUSALS],
    ids=[case[0] for case in REFUSALS],
)
def test_what_does_not_fit_is_refused(
    manifest: Manifest, start: Earlier, families: dict[str, Any], pointer: str, code: str
) -> None:
    found = refusals(manifest, start, **{**starting(), **families})
    assert (pointer, code) in {(error.pointer, error.code) for error in found}


def test_a_refusal_names_the_layer_and_both_shapes() -> None:
    found = refusals(images(), CLOTHES_CNN, network={**CNN, "widths": [8, 20]}, **starting())
    assert [error.detail for error in found[:2]] == [
        "The weight of `convolutions.1` is 20 × 8 × 3 × 3 here and 16 × 8 × 3 × 3 in the checkpoint",
        "The weight of `convolutions.1.norm` is 20 here and 16 in the checkpoint",
    ]
    assert "convolutions.0" in (found[0].allowed or ())


def test_of_many_misfits_some_are_told() -> None:
    deep = earlier(images(channels=3), network={"type": "resnet", "depth": 20, "width": 8})
    found = refusals(images(channels=3), deep, network={"type": "resnet", "depth": 20, "width": 16}, **starting())
    assert len(found) == 11
    assert found[-1].detail.startswith("… and ")


def test_a_checkpoint_that_nobody_knows_leaves_the_rest_of_the_spec_to_check() -> None:
    errors, _ = check(spec(network=CNN, **starting(layers=["stem"])), images())
    assert [error.pointer for error in errors] == ["/warm_start/layers/0"]


@pytest.mark.parametrize(
    ("words", "pointer"),
    [
        ({"checkpoint": {"job": "job_1", "which": "newest"}}, "/warm_start/checkpoint/which"),
        ({"checkpoint": {"which": "best"}}, "/warm_start/checkpoint/job"),
        ({"checkpoint": 7}, "/warm_start/checkpoint"),
        ({"checkpoint": "ckpt_1", "layers": []}, "/warm_start/layers"),
        ({"checkpoint": "ckpt_1", "freeze_until": "0 steps"}, "/warm_start/freeze_until"),
        ({"checkpoint": "ckpt_1", "freezes": ["stem"]}, "/warm_start/freezes"),
    ],
)
def test_a_misspelt_start_is_refused(words: dict[str, Any], pointer: str) -> None:
    assert [error.pointer for error in errors_of(raw(warm_start=words))] == [pointer]


def resolved(manifest: Manifest, start: Earlier, **families: Any) -> WarmStart:
    found = resolve(spec(**{**starting(), **families}), manifest, start).warm_start
    assert found is not None
    return found


def test_a_resolved_start_has_the_checkpoint_and_its_sha256() -> None:
    start = resolved(images(), CLOTHES_CNN, network=CNN, warm_start={"checkpoint": {"job": "job_1"}})
    assert (start.checkpoint, start.sha256, start.output, start.normalization) == ("ckpt_1", SHA256, "keep", "inherit")


def test_a_resolved_start_resolves_to_itself() -> None:
    once = resolve(spec(network=CNN, **starting(freeze="body", freeze_until="30%")), images(), CLOTHES_CNN)
    again = parse_spec(once.model_dump(mode="json"))
    assert again == once
    assert resolve(again, images(), CLOTHES_CNN) == resolve(again, images()) == once
    assert check(again, images(), earlier=CLOTHES_CNN)[0] == []


@pytest.mark.parametrize("classes", [tuple("abcdefg"), DIGITS])
def test_the_output_is_replaced_when_the_classes_differ(classes: tuple[str, ...]) -> None:
    start = resolved(images(classes), CLOTHES_CNN, network=CNN)
    assert start.output == "replace"
    layers = layers_of(spec(network=CNN).network, (1, 28, 28), len(classes))
    assert "output" not in taken_layers(start, layers)


def test_the_output_is_replaced_when_it_is_not_named() -> None:
    assert resolved(images(), CLOTHES_CNN, network=CNN, **starting(layers=["convolutions"])).output == "replace"


@pytest.mark.parametrize(
    ("families", "expected"),
    [
        ({"dataset": {"id": "ds_1", "normalize": "unit"}}, "fit"),
        (starting(layers=["head"]), "fit"),
        (starting(layers=["convolutions.0"]), "inherit"),
        (starting(normalization="fit"), "fit"),
    ],
)
def test_the_normalization_is_inherited_with_the_first_layer(families: dict[str, Any], expected: str) -> None:
    assert resolved(images(), CLOTHES_CNN, network=CNN, **families).normalization == expected


def test_color_after_gray_fits_its_own_normalization() -> None:
    start = resolved(images(channels=3), CLOTHES_CNN, network=CNN, **starting(layers=["convolutions.1"]))
    assert start.normalization == "fit"


def test_layers_are_named_by_themselves_or_by_what_is_above_them() -> None:
    layers = layers_of(spec(network={"type": "resnet", "depth": 8}).network, (3, 32, 32), 10)
    start = WarmStart(checkpoint="ckpt_1", layers=("stem", "stages.1", "stages.2.0.conv1"), freeze="body")
    assert taken_layers(start, layers) == (
        "stem",
        "stem.norm",
        *(f"stages.1.0.{name}" for name in ("conv1", "norm1", "conv2", "norm2", "shortcut", "shortcut.norm")),
        "stages.2.0.conv1",
    )
    frozen = frozen_layers(start, layers)
    assert "output" not in frozen
    assert len(frozen) == len([layer for layer in layers if layer.parameters]) - 1


def test_a_sequential_is_matched_by_the_names_of_its_author() -> None:
    body = [{"type": "flatten"}, {"type": "dense", "units": 8, "activation": "relu", "name": "first"}]
    dense = {"type": "dense", "units": 10}
    before = earlier(images(), network={"type": "sequential", "layers": [*body, {**dense, "name": "logits"}]})
    longer = [*body, {"type": "dense", "units": 8, "name": "second"}, {**dense, "name": "logits"}]
    found = refusals(images(), before, network={"type": "sequential", "layers": longer}, **starting())
    assert [(error.pointer, error.code) for error in found] == [("/warm_start/layers", "not_in_checkpoint")]
    named = starting(layers=["first", "logits"])
    assert refusals(images(), before, network={"type": "sequential", "layers": longer}, **named) == []


WARNINGS: list[tuple[Manifest, Earlier, dict[str, Any], str]] = [
    (images(DIGITS), CLOTHES_CNN, {"network": CNN, **starting(output="keep")}, "other_classes"),
    (LETTERS, CLOTHES_CNN, {"network": CNN, **starting(freeze=["output"])}, "frozen_at_random"),
    (images(), CLOTHES_CNN, {"network": CNN, **starting(freeze="body", freeze_until="99 epochs")}, "never_reached"),
    (images(), CLOTHES_CNN, {"network": {**CNN, "activation": "tanh"}}, "networks_differ"),
    (WINE, earlier(WINE, network=MLP), {"network": MLP, "dataset": {"id": "ds_2"}}, "other_inputs"),
    (
        images(),
        CLOTHES_CNN,
        {
            "network": CNN,
            "regularization": [{"type": "max_norm", "target": ["head.0"]}],
            **starting(freeze="body"),
        },
        "never_acts",
    ),
    (
        images(),
        earlier(images(), network=MLP),
        {
            "network": {
                "type": "sequential",
                "layers": [
                    {"type": "flatten"},
                    {"type": "dense", "units": 32, "name": "hidden.0"},
                    {"type": "dense", "units": 10},
                ],
            },
            **starting(layers=["hidden.0"]),
        },
        "networks_differ",
    ),
]


@pytest.mark.parametrize(("manifest", "start", "families", "code"), WARNINGS)
def test_what_is_usually_not_meant_is_warned_about(
    manifest: Manifest, start: Earlier, families: dict[str, Any], code: str
) -> None:
    errors, warnings = check(spec(**{**starting(), **families}), manifest, earlier=start)
    assert errors == []
    assert code in {warning.code for warning in warnings}


def test_the_same_network_on_the_same_classes_has_nothing_to_warn_of() -> None:
    codes = {warning.code for warning in check(spec(network=CNN, **starting()), images(), earlier=CLOTHES_CNN)[1]}
    assert not codes & {"other_classes", "frozen_at_random", "networks_differ", "other_inputs"}


def test_regression_keeps_its_output() -> None:
    before = earlier(WINE, network=MLP)
    assert resolved(WINE, before, network=MLP).output == "keep"
    assert resolved(vectors(4, None, 2), earlier(vectors(4, None, 3), network=MLP), network=MLP).output == "replace"
