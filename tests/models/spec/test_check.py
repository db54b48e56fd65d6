from typing import Any

import pytest

from models.spec import check, estimate
from models.spec.manifest import Manifest
from tests.models.spec.manifests import DIGITS, WINE, images, number, table, text, vectors, words
from tests.models.spec.specs import ARTICLE_FOLDER, ARTICLE_VECTORS, HELD_BACK, conflicts, spec, warnings


def layers(*types: dict[str, Any]) -> dict[str, Any]:
    return {"type": "sequential", "layers": list(types)}


DENSE_10 = {"type": "dense", "units": 10}
FLATTEN = {"type": "flatten"}
WIDE = {"type": "mlp", "hidden": [65_536] * 40}
RISING = {"type": "cosine", "minimum": 1.0}
COSINE = {"type": "cosine"}


def phases(*phases: dict[str, Any]) -> dict[str, Any]:
    return {"schedule": {"type": "sequence", "phases": list(phases)}}


REFUSALS: list[tuple[Manifest, dict[str, Any], str, str]] = [
    (
        images(),
        {"network": {"type": "lstm"}, "training": {"epochs": 2, "precision": "float16"}},
        "/training/precision",
        "network_does_not_fit",
    ),
    (
        images(),
        {"network": {"type": "gru"}, "training": {"epochs": 2, "compile": True}},
        "/training/compile",
        "network_does_not_fit",
    ),
    (
        images(),
        {"regularization": [{"type": "activity"}], "training": {"epochs": 2, "compile": True}},
        "/regularization/0",
        "not_compiled",
    ),
    (
        images(),
        {"training": {"epochs": 2, "averaging": {"type": "swa", "start": "2 epochs"}}},
        "/training/averaging/start",
        "never_acts",
    ),
    (images(), {"schedule": {"type": "plateau"}}, "/schedule/metric", "no_validation"),
    (
        images(),
        {"training": {"epochs": 1, "early_stopping": {}}},
        "/training/early_stopping/metric",
        "no_validation",
    ),
    (
        WINE,
        {"dataset": HELD_BACK, "checkpoints": {"keep_best": {"metric": "validation/accuracy"}}},
        "/checkpoints/keep_best/metric",
        "metric_does_not_fit",
    ),
    (vectors(), {"augmentation": [{"type": "horizontal_flip"}]}, "/augmentation/0", "not_images"),
    (
        images(),
        {"augmentation": [{"type": "random_crop", "padding": 28}]},
        "/augmentation/0/padding",
        "larger_than_the_image",
    ),
    (images(), {"augmentation": [{"type": "cutout", "length": 56}]}, "/augmentation/0/length", "larger_than_the_image"),
    (images(), {"augmentation": [{"type": "swap_noise"}]}, "/augmentation/0", "not_vectors"),
    (vectors(), {"augmentation": [{"type": "cutmix"}]}, "/augmentation/0", "not_images"),
    (
        vectors(5, None),
        {"augmentation": [{"type": "mixup"}], "loss": {"type": "mae"}},
        "/augmentation/0",
        "loss_does_not_fit",
    ),
    (images(), {"augmentation": [{"type": "grayscale"}]}, "/augmentation/0", "no_color"),
    (images(), {"augmentation": [{"type": "color_jitter", "hue": 0.1}]}, "/augmentation/0/hue", "no_color"),
    (
        images(),
        {"loss": {"type": "cross_entropy", "class_weights": [1, 2]}},
        "/loss/class_weights",
        "wrong_length",
    ),
    (images(), {"clipping": {"type": "global_norm", "max_norm": 1e-9}}, "/clipping/max_norm", "clip_too_small"),
    (images(), {"clipping": {"type": "norm", "max_norm": 1e-9}}, "/clipping/max_norm", "clip_too_small"),
    (images(), {"clipping": {"type": "value", "clip_value": 1e-9}}, "/clipping/clip_value", "clip_too_small"),
    (
        images(),
        {"training": {"steps": 4, "averaging": {"type": "lookahead", "k": 5}}},
        "/training/averaging/k",
        "never_acts",
    ),
    (images(), {"clipping": {"type": "adaptive", "exempt": ["outptu"]}}, "/clipping/exempt/0", "unknown_layer"),
    (images(), {"loss": {"type": "mse"}}, "/loss/type", "loss_does_not_fit"),
    (images(), {"loss": {"type": "binary_cross_entropy"}}, "/loss/type", "loss_does_not_fit"),
    (vectors(5, None), {"loss": {"type": "cross_entropy"}}, "/loss/type", "loss_does_not_fit"),
    (images(), {"network": WIDE}, "/network", "too_large"),
    (images(size=None), {}, "/dataset/image_size", "missing"),
    (images(), {"network": layers(DENSE_10)}, "/network/layers/0", "shape"),
    (images(), {"network": layers(FLATTEN, {"type": "conv", "filters": 2})}, "/network/layers/1", "shape"),
    (images(size=(6, 6)), {"network": {"type": "cnn", "widths": [8, 8, 8]}}, "/network/widths/2", "shape"),
    (vectors(), {"network": {"type": "resnet"}}, "/network/depth", "shape"),
    (vectors(), {"network": layers(DENSE_10)}, "/network/layers/0/units", "outputs_do_not_fit"),
    (
        images(),
        {"network": layers(FLATTEN, {**DENSE_10, "activation": "sigmoid"})},
        "/network/layers/1/activation",
        "logits_needed",
    ),
    (
        images(),
        {"regularization": [{"type": "l2", "target": ["hiden.0"]}]},
        "/regularization/0/target/0",
        "unknown_layer",
    ),
    (
        images(),
        {"regularization": [{"type": "dropout", "after": ["output"]}]},
        "/regularization/0/after/0",
        "unknown_layer",
    ),
    (
        images(),
        {"regularization": [{"type": "dropout"}], "network": {"type": "mlp", "hidden": []}},
        "/regularization/0",
        "no_place",
    ),
    (
        vectors(5, None),
        {"regularization": [{"type": "label_smoothing"}]},
        "/regularization/0",
        "loss_does_not_fit",
    ),
    (images(), {"regularization": [{"type": "drop_path"}]}, "/regularization/0", "no_place"),
    (images(), {"regularization": [{"type": "spatial_dropout"}]}, "/regularization/0", "no_place"),
    (
        images(),
        {"network": {"type": "cnn"}, "regularization": [{"type": "drop_block", "after": ["head.0"]}]},
        "/regularization/0/after/0",
        "unknown_layer",
    ),
    (
        images(),
        {"optimizer": {"type": "adamw"}, "regularization": [{"type": "weight_decay"}]},
        "/regularization/0",
        "decay_twice",
    ),
    (
        images(),
        {"optimizer": {"type": "lamb"}, "regularization": [{"type": "weight_decay"}]},
        "/regularization/0",
        "decay_twice",
    ),
    (
        images(),
        {
            "optimizer": {"type": "muon", "other": {"type": "adamw"}},
            "regularization": [{"type": "weight_decay"}],
        },
        "/regularization/0",
        "decay_twice",
    ),
    (
        images(),
        {"optimizer": {"type": "muon"}, "network": {"type": "mlp", "hidden": [9]}},
        "/optimizer/type",
        "network_does_not_fit",
    ),
    *(
        (
            images(),
            {"optimizer": {"type": kind}, "regularization": [{"type": "l1", "mode": "proximal"}]},
            "/regularization/0/mode",
            "optimizer_does_not_fit",
        )
        for kind in ("adadelta", "adafactor", "lion", "muon", "lamb")
    ),
    (
        images(),
        {"optimizer": {"type": "sgd", "multipliers": {"outptu": 0.1}}},
        "/optimizer/multipliers/outptu",
        "unknown_target",
    ),
    (
        images(),
        {"optimizer": {"type": "sgd", "multipliers": {"norms": 0.1}}},
        "/optimizer/multipliers/norms",
        "unknown_target",
    ),
    (
        images(),
        {"optimizer": {"type": "sgd", "multipliers": {"hidden": 0, "output": 0.0}}},
        "/optimizer/multipliers",
        "all_frozen",
    ),
    (images(), {"schedule": RISING}, "/schedule/minimum", "minimum_above_rate"),
    (
        images(),
        {"schedule": {"type": "multistep", "milestones": ["50%", "100 steps"]}},
        "/schedule/milestones/1",
        "milestones_out_of_order",
    ),
    (
        images(),
        {"schedule": {"type": "piecewise", "points": [{"at": "50%", "factor": 1}, {"at": 1, "factor": 0}]}},
        "/schedule/points/1/at",
        "points_out_of_order",
    ),
    (
        images(),
        {"schedule": {"type": "warmup_stable_decay", "decay": "99%"}},
        "/schedule/decay",
        "decay_too_long",
    ),
    (images(), phases({"schedule": COSINE}, {"schedule": COSINE}), "/schedule/phases/0/duration", "missing"),
    (images(), phases({"schedule": COSINE, "duration": 2}, {"schedule": COSINE}), "/schedule/phases/1", "never_acts"),
    (
        images(),
        phases({"schedule": COSINE, "duration": "50%"}, {"schedule": COSINE, "duration": "20%"}),
        "/schedule/phases/1/duration",
        "phases_do_not_fill",
    ),
    (
        images(),
        phases({"schedule": {**COSINE, "warmup": {"duration": 1}}, "duration": "50%"}, {"schedule": COSINE}),
        "/schedule/phases/0/schedule/warmup/duration",
        "warmup_too_long",
    ),
    (vectors(), {"dataset": {"id": "d", "normalize": "unit"}}, "/dataset/normalize", "not_images"),
    (images(), {"training": {"epochs": 100_000, "batch_size": 1}}, "/training/epochs", "too_long"),
    (
        images(),
        {"augmentation": [{"type": "vertical_flip", "from": "60%", "until": "40%"}]},
        "/augmentation/0/from",
        "never_acts",
    ),
    (
        images(),
        {"schedule": {"type": "cosine", "warmup": {"duration": "2 epochs"}}},
        "/schedule/warmup/duration",
        "warmup_too_long",
    ),
]


@pytest.mark.parametrize(("manifest", "families", "pointer", "code"), REFUSALS)
def test_a_conflict_is_refused_where_it_was_made(
    manifest: Manifest, families: dict[str, Any], pointer: str, code: str
) -> None:
    found = conflicts(manifest, **families)
    assert [(error.pointer, error.code) for error in found.values()] == [(pointer, code)]


def test_a_shape_that_does_not_fit_names_the_layer_and_the_way_out() -> None:
    error = conflicts(images(), network=layers({**DENSE_10, "name": "classes"}))["/network/layers/0"]
    assert "`classes`" in error.detail
    assert "`flatten`" in error.detail


def test_too_much_memory_is_said_in_gigabytes_beside_what_there_is() -> None:
    small = spec(network={"type": "mlp", "hidden": [4096, 4096]})
    (error,), _ = check(small, images(), memory_bytes=100_000_000)
    assert "20,037,642 parameters" in error.detail
    assert "0.1 GB" in error.detail


HE: dict[str, Any] = {"initialization": {"type": "kaiming_normal"}, "network": {"type": "mlp", "activation": "tanh"}}
XAVIER: dict[str, Any] = {"initialization": {"type": "xavier_normal"}, "network": {"type": "mlp", "hidden": [64] * 10}}
PENALIZED = layers({"type": "flatten"}, {**DENSE_10, "regularization": [{"type": "l2"}]})
FLIP = {"augmentation": [{"type": "horizontal_flip"}]}
WARNINGS: list[tuple[Manifest, dict[str, Any], str]] = [
    (images(), HE, "he_with_saturating"),
    (images(), XAVIER, "xavier_with_deep_relu"),
    (images(), {"regularization": [{"type": "l2"}, {"type": "weight_decay"}]}, "l2_and_decay"),
    (images(), {"regularization": [{"type": "l2"}], "optimizer": {"type": "adam"}}, "l2_is_not_decay"),
    (images(), {"network": PENALIZED, "optimizer": {"type": "adam"}}, "l2_is_not_decay"),
    (images(), {"network": PENALIZED, "regularization": [{"type": "weight_decay"}]}, "l2_and_decay"),
    (images(DIGITS), FLIP, "flipped_digits"),
    (images(), {"optimizer": {"type": "sgd", "learning_rate": 10}}, "large_rate"),
    (images(), {"schedule": {"type": "one_cycle", "warmup": {"duration": "10%"}}}, "rises_twice"),
    (images(), {"schedule": {"type": "multistep", "milestones": [30]}}, "never_reached"),
    (images(size=None, channels=3), ARTICLE_FOLDER, "hardly_any_shear"),
    (images(), {}, "no_validation"),
    (WINE, {}, "target_assumed"),
    (images(), {"dataset": {"id": "d", "normalize": "none"}}, "raw_pixels"),
]


@pytest.mark.parametrize(("manifest", "families", "code"), WARNINGS)
def test_what_is_legal_and_usually_wrong_is_warned_about(
    manifest: Manifest, families: dict[str, Any], code: str
) -> None:
    assert code in warnings(manifest, **families)


def test_norms_keep_the_signal_that_xavier_loses() -> None:
    normed = {**XAVIER, "network": {**XAVIER["network"], "norm": "batch"}}
    assert "xavier_with_deep_relu" not in warnings(images(), **normed)


def test_a_patience_that_cannot_run_out_is_warned_about() -> None:
    def training(patience: int) -> dict[str, Any]:
        return {
            "dataset": {"id": "d", "validation": {"fraction": 0.1}},
            "training": {"epochs": 5, "early_stopping": {"patience": patience}},
        }

    assert "never_reached" in warnings(images(), **training(4))
    assert "never_reached" not in warnings(images(), **training(3))


def ten_steps(**training: Any) -> dict[str, Any]:
    return {"training": {"steps": 10, **training}}


AFFINE: dict[str, Any] = {"type": "affine", "zoom": [1, 1]}
EMA: dict[str, Any] = {"type": "ema", "warmup": False}
SWA: dict[str, Any] = {"type": "swa"}
PROXIMAL: dict[str, Any] = {"regularization": [{"type": "l1", "mode": "proximal"}]}
MATTERS = {"target": ["output"], "initialization": {"type": "zeros"}}
IDLE: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (
        {"regularization": [{"type": "dropout", "rate": 0}]},
        {"regularization": [{"type": "dropout", "rate": 0.1}]},
        "does_nothing",
    ),
    (
        {"regularization": [{"type": "l1_l2", "l1": 0, "l2": 0}]},
        {"regularization": [{"type": "l1_l2", "l1": 0}]},
        "does_nothing",
    ),
    ({"augmentation": [AFFINE]}, {"augmentation": [{**AFFINE, "shear": "1 deg"}]}, "does_nothing"),
    (
        {"augmentation": [{"type": "image_data_generator"}]},
        {"augmentation": [{"type": "image_data_generator", "channel_shift_range": 1}]},
        "does_nothing",
    ),
    ({"augmentation": [{"type": "invert", "p": 0}]}, {"augmentation": [{"type": "invert"}]}, "does_nothing"),
    (
        {"schedule": {"type": "step", "step_size": "10 steps"}, **ten_steps()},
        {"schedule": {"type": "step", "step_size": "10 steps", "offset": "1 steps"}, **ten_steps()},
        "never_reached",
    ),
    (
        {"schedule": {"type": "plateau", "patience": 0}, "dataset": HELD_BACK, "training": {"epochs": 2}},
        {"schedule": {"type": "plateau", "patience": 0}, "dataset": HELD_BACK, "training": {"epochs": 3}},
        "never_reached",
    ),
    (ten_steps(averaging=EMA), ten_steps(averaging={**EMA, "half_life": "1 steps"}), "remembers_the_start"),
    ({**PROXIMAL, **ten_steps(averaging=SWA)}, PROXIMAL, "zeros_averaged_away"),
    (
        {"initialization": {"type": "zeros"}},
        {"initialization": {"type": "xavier_normal", "overrides": [MATTERS]}},
        "starts_alike",
    ),
]


@pytest.mark.parametrize(("idle", "acting", "code"), IDLE)
def test_what_does_nothing_is_warned_about_and_what_does_something_is_not(
    idle: dict[str, Any], acting: dict[str, Any], code: str
) -> None:
    assert code in warnings(images(), **idle)
    assert code not in warnings(images(), **acting)


def test_a_run_of_few_steps_is_not_worth_compiling() -> None:
    few, many = ({"training": {"steps": steps, "compile": True}} for steps in (9_999, 10_000))
    assert "compiled_for_few_steps" in warnings(images(), **few)
    assert "compiled_for_few_steps" not in warnings(images(), **many)


def test_classes_that_are_only_numbered_are_not_taken_for_digits() -> None:
    assert "if they are only numbered" in warnings(images(DIGITS), **FLIP)["flipped_digits"].detail


def test_a_sound_spec_has_no_warning() -> None:
    assert warnings(vectors(), **{**ARTICLE_VECTORS, "optimizer": {"type": "sgd"}}) == {}


def test_clothes_may_be_mirrored() -> None:
    assert "flipped_digits" not in warnings(images(), **FLIP)


@pytest.mark.parametrize("manifest", [images(), vectors(), vectors(5, None)], ids=["images", "classes", "numbers"])
def test_noise_and_mixup_fit_images_and_vectors(manifest: Manifest) -> None:
    assert conflicts(manifest, augmentation=[{"type": "gaussian_noise"}, {"type": "mixup"}]) == {}


@pytest.mark.parametrize(
    ("network", "manifest", "pointer", "word"),
    [
        ({"type": "vgg"}, images(), "/network", "image_size"),
        ({"type": "vit", "patch": 5}, images(), "/network/patch", "tile"),
        ({"type": "convnext"}, vectors(), "/network", "takes images"),
        ({"type": "lstm"}, vectors(), "/network/sequence_length", "how many steps"),
        ({"type": "gru", "sequence_length": 7}, vectors(), "/network/sequence_length", "into 8 they can"),
        ({"type": "transformer", "sequence_length": 7}, images(), "/network/sequence_length", "row by row"),
    ],
)
def test_a_network_says_which_inputs_it_reads(
    network: dict[str, Any], manifest: Manifest, pointer: str, word: str
) -> None:
    assert word in conflicts(manifest, network=network)[pointer].detail


LABELS = vectors(classes=("a", "b", "c")).model_copy(update={"multi_label": True})


def test_focal_weighs_the_absence_and_presence_of_labels() -> None:
    assert not conflicts(LABELS, loss={"type": "focal", "alpha": [0.75, 0.25]})
    assert conflicts(LABELS, loss={"type": "focal", "alpha": [1, 1, 1]})["/loss/alpha"].code == "wrong_length"


def test_labels_may_be_mixed_where_the_loss_takes_shares() -> None:
    assert not conflicts(LABELS, augmentation=[{"type": "mixup"}])
    refused = conflicts(LABELS, augmentation=[{"type": "mixup"}], loss={"type": "focal"})
    assert refused["/augmentation/0"].allowed == ["binary_cross_entropy"]


REVIEWS = table(number("stars"), words("liked", "no", "yes"), texts=(text("review"),))
TOKENS: dict[str, Any] = {"id": "d", "target": "liked", "text": {"type": "tokens", "length": 50, "words": 998}}


@pytest.mark.parametrize(
    ("network", "pointer"),
    [
        ({"type": "mlp"}, "/network"),
        ({"type": "cnn"}, "/network"),
        ({"type": "sequential", "layers": [{"type": "dense", "units": 2}]}, "/network/layers/0"),
        ({"type": "lstm", "sequence_length": 49}, "/network/sequence_length"),
        (
            {
                "type": "sequential",
                "layers": [{"type": "embedding", "width": 4}, {"type": "batch_norm"}, {"type": "dense", "units": 2}],
            },
            "/network/layers/1",
        ),
        (
            {"type": "sequential", "layers": [{"type": "embedding", "width": 4}, {"type": "dense", "units": 2}]},
            "/network/layers/1",
        ),
    ],
)
def test_networks_that_do_not_read_tokens(network: dict[str, Any], pointer: str) -> None:
    assert set(conflicts(REVIEWS, dataset=TOKENS, network=network)) == {pointer}


def test_embeddings_are_for_tokens() -> None:
    layers = [{"type": "embedding", "width": 4}, {"type": "flatten"}, {"type": "dense", "units": 2}]
    assert "/network/layers/0" in conflicts(REVIEWS, network={"type": "sequential", "layers": layers})
    lstm = {"type": "lstm", "embedding": 4, "sequence_length": 1}
    assert "/network/embedding" in conflicts(REVIEWS, network=lstm)


def test_a_dropout_may_stand_behind_an_embedding() -> None:
    dropout = {"type": "dropout", "after": ["embedding"]}
    assert not conflicts(REVIEWS, dataset=TOKENS, network={"type": "lstm"}, regularization=[dropout])


@pytest.mark.parametrize("type_", ["mixup", "swap_noise", "feature_dropout", "gaussian_noise", "horizontal_flip"])
def test_tokens_are_not_changed_as_numbers_are(type_: str) -> None:
    refused = conflicts(REVIEWS, dataset=TOKENS, network={"type": "lstm"}, augmentation=[{"type": type_}])
    assert refused["/augmentation/0"].code == "not_numbers"


def test_texts_and_columns_that_are_left_out_are_told() -> None:
    told = warnings(REVIEWS, dataset={"id": "d", "target": "liked"})
    assert told["text_left_out"].pointer == "/dataset/text"
    told = warnings(REVIEWS, dataset=TOKENS, network={"type": "gru"})
    assert told["columns_left_out"].pointer == "/dataset/features"


def test_a_column_that_is_read_as_tokens_is_not_left_out() -> None:
    reviews = table(words("review", "good", "bad"), words("liked", "no", "yes"))
    tokens = {"id": "d", "target": "liked", "text": {"type": "tokens", "columns": ["review"]}}
    assert "columns_left_out" not in warnings(reviews, dataset=tokens, network={"type": "gru"})


@pytest.mark.parametrize(
    ("network", "parameters"),
    [
        ({"type": "lstm", "embedding": 8, "width": 4}, 1000 * 8 + 4 * 4 * (8 + 4 + 2) + 4 * 2 + 2),
        ({"type": "gru", "width": 4}, 1000 * 128 + 3 * 4 * (128 + 4 + 2) + 4 * 2 + 2),
    ],
)
def test_embeddings_are_estimated(network: dict[str, Any], parameters: int) -> None:
    assert estimate(spec(dataset=TOKENS, network=network), REVIEWS).parameters == parameters


@pytest.mark.parametrize(("on", "refused"), [("inputs", True), ("weights", False), ("gradients", False)])
def test_tokens_take_no_noise(on: str, refused: bool) -> None:
    noise = {"type": "gaussian_noise", "on": on}
    found = conflicts(REVIEWS, dataset=TOKENS, network={"type": "lstm"}, regularization=[noise])
    assert set(found) == ({"/regularization/0/on"} if refused else set())


@pytest.mark.parametrize("several", [{"accumulate": 2}, {"replicas": 2}])
def test_activity_and_class_weights_need_whole_batches(several: dict[str, Any]) -> None:
    words: dict[str, Any] = {"regularization": [{"type": "activity"}]}
    words["training"] = {"epochs": 1, "batch_size": 8, **several}
    assert not conflicts(images(), **words)
    weighed = {"loss": {"type": "cross_entropy", "class_weights": "balanced"}, **words}
    assert conflicts(images(), **weighed)["/regularization/0"].code == "conflict"
    assert not conflicts(images(), **{**weighed, "training": {"epochs": 1, "batch_size": 8}})
