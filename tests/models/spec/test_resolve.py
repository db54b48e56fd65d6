from typing import Any

import pytest

from models.spec import check, parse_spec, resolve
from models.spec.manifest import Manifest
from models.spec.regularization import Sam
from tests.models.spec.manifests import WINE, images, vectors
from tests.models.spec.specs import ARTICLE_FOLDER, ARTICLE_VECTORS, FASHION, HELD_BACK, raw, spec

FOLDER = images(("cat", "dog", "frog"), size=None, channels=3, train=900, test=90)
CASES: list[tuple[dict[str, Any], Manifest]] = [
    (FASHION, images()),
    (ARTICLE_FOLDER, FOLDER),
    (ARTICLE_VECTORS, vectors()),
    ({}, WINE),
    ({"loss": {"type": "cross_entropy"}, "dataset": HELD_BACK}, WINE),
    ({"dataset": {"id": "d", "class_mode": "binary"}}, vectors(20)),
    ({"network": {"type": "resnet", "depth": 20}, "initialization": {"type": "he_uniform"}}, images(channels=3)),
    ({"network": {"type": "mlp", "activation": "tanh"}, "training": {"steps": 7}}, vectors(9, None, 3)),
    ({"dataset": HELD_BACK, "schedule": {"type": "plateau", "warmup": {"duration": "5%"}}}, images()),
]


@pytest.mark.parametrize(("families", "manifest"), CASES)
def test_the_spec_fits_its_data(families: dict[str, Any], manifest: Manifest) -> None:
    assert check(spec(**families), manifest)[0] == []


@pytest.mark.parametrize(("families", "manifest"), CASES)
def test_a_resolved_spec_is_a_spec_that_resolves_to_itself(families: dict[str, Any], manifest: Manifest) -> None:
    resolved = resolve(spec(**families), manifest)
    sent_again = parse_spec(resolved.model_dump(mode="json"))
    assert sent_again == resolved
    assert resolve(sent_again, manifest) == resolved


@pytest.mark.parametrize(("families", "manifest"), CASES)
def test_nothing_is_left_to_decide(families: dict[str, Any], manifest: Manifest) -> None:
    resolved = resolve(spec(**families), manifest)
    assert resolved.loss is not None
    assert resolved.initialization is not None
    assert resolved.checkpoints.keep_best is not None
    assert '"mode":"auto"' not in resolved.model_dump_json()
    assert resolved.dataset.class_mode != "auto"


def test_an_alias_resolves_to_the_canonical_name() -> None:
    assert spec(initialization={"type": "he_normal"}) == spec(initialization={"type": "kaiming_normal"})


def test_a_network_of_tanh_starts_as_xavier() -> None:
    resolved = resolve(spec(network={"type": "mlp", "activation": "tanh"}), images())
    assert resolved.initialization is not None
    assert resolved.initialization.type == "xavier_normal"


def test_the_last_column_is_the_target_unless_said() -> None:
    dataset = resolve(spec(), WINE).dataset
    assert (dataset.target, dataset.features) == ("quality", ("acidity", "alcohol", "cork"))


def test_what_was_said_stays() -> None:
    sent = raw(**FASHION)
    resolved = resolve(parse_spec(sent), images()).model_dump(mode="json")
    assert resolved["optimizer"]["learning_rate"] == 0.05
    assert resolved["augmentation"][0]["zoom"] == [0.8, 1.2]


def test_the_distance_of_sam_is_that_of_its_paper() -> None:
    both = ({"type": "sam"}, {"type": "sam", "adaptive": True}, {"type": "sam", "rho": 0.2, "adaptive": True})
    resolved = [resolve(spec(regularization=[one]), images()).regularization[0] for one in both]
    assert [one.rho for one in resolved if isinstance(one, Sam)] == [0.05, 0.5, 0.2]
