import pytest

from models.spec import SpecInvalid, task_of
from models.spec.task import held_out
from tests.models.spec.manifests import WINE, images, number, table, text, vectors, words
from tests.models.spec.specs import HELD_BACK, spec


def test_images_are_told_apart_by_a_logit_for_each_class() -> None:
    task = task_of(spec(dataset={"id": "d", "validation": {"split": "test"}}), images())
    assert (task.kind, task.outputs, task.input_shape) == ("multiclass", 10, (1, 28, 28))
    assert (task.train, task.validation) == (60_000, 10_000)


def test_binary_cross_entropy_has_one_logit() -> None:
    task = task_of(spec(loss={"type": "binary_cross_entropy"}), vectors())
    assert (task.kind, task.outputs, task.classes) == ("binary", 1, ("neg", "pos"))


def test_a_column_of_numbers_is_regression_unless_the_loss_is_for_classes() -> None:
    assert task_of(spec(), WINE).kind == "regression"
    task = task_of(spec(loss={"type": "cross_entropy"}), WINE)
    assert (task.kind, task.classes) == ("multiclass", ("3", "4", "5", "6", "7", "8"))


def test_a_text_column_is_as_many_inputs_as_it_has_categories() -> None:
    assert task_of(spec(), WINE).input_shape == (4,)


def test_a_text_target_is_classes() -> None:
    task = task_of(spec(dataset={"id": "d", "target": "cork"}), WINE)
    assert (task.classes, task.features) == (("natural", "screw"), ("acidity", "alcohol", "quality"))


@pytest.mark.parametrize(("examples", "fraction", "held"), [(100, 0.1, 10), (3, 0.01, 1), (3, 0.99, 2), (2, 0.5, 1)])
def test_a_fraction_holds_back_at_least_one_and_never_all(examples: int, fraction: float, held: int) -> None:
    assert held_out(examples, fraction) == held
    assert task_of(spec(dataset=HELD_BACK), table(number("a"), number("b"), rows=10)).validation == 1


@pytest.mark.parametrize(
    ("dataset", "pointer"),
    [
        ({"target": "qality"}, "/dataset/target"),
        ({"features": ["alcohol", "quality"]}, "/dataset/features/1"),
        ({"features": ["alcohol", "alcohol"]}, "/dataset/features/1"),
        ({"image_size": [8, 8]}, "/dataset/image_size"),
        ({"validation": {"split": "test"}}, "/dataset/validation/split"),
        ({"target": "cork", "class_mode": "regression"}, "/dataset/class_mode"),
        ({"class_mode": "binary"}, "/dataset/class_mode"),
    ],
)
def test_a_data_set_that_has_no_such_thing(dataset: dict[str, object], pointer: str) -> None:
    with pytest.raises(SpecInvalid) as raised:
        task_of(spec(dataset={"id": "d", **dataset}), WINE)
    assert [error.pointer for error in raised.value.errors] == [pointer]


def test_rows_without_a_target_are_refused() -> None:
    with pytest.raises(SpecInvalid, match="3 rows"):
        task_of(spec(), table(number("a"), words("b", "x", "y", missing=3)))


TAGS = table(
    number("size"),
    number("sport", (0, 1)),
    number("news", (0, 1)),
    number("price"),
    words("tags", "art", "art; news", "news", missing=2),
)


@pytest.mark.parametrize("class_mode", ["auto", "multi_label"])
def test_several_columns_of_0_and_1_are_labels(class_mode: str) -> None:
    task = task_of(spec(dataset={"id": "d", "target": ["sport", "news"], "class_mode": class_mode}), TAGS)
    assert (task.kind, task.classes, task.outputs) == ("multi_label", ("sport", "news"), 2)
    assert task.features == ("size", "price", "tags")


@pytest.mark.parametrize(("columns", "class_mode"), [(["size", "price"], "auto"), (["sport", "news"], "regression")])
def test_several_columns_of_numbers_are_regression_outputs(columns: list[str], class_mode: str) -> None:
    task = task_of(spec(dataset={"id": "d", "target": columns, "class_mode": class_mode}), TAGS)
    assert (task.kind, task.outputs, task.targets) == ("regression", 2, tuple(columns))


def test_cells_that_list_labels_are_divided() -> None:
    task = task_of(spec(dataset={"id": "d", "target": "tags", "delimiter": ";"}), TAGS)
    assert (task.kind, task.classes) == ("multi_label", ("art", "news"))


def test_images_and_vectors_with_labels() -> None:
    task = task_of(spec(), vectors(classes=("a", "b", "c")).model_copy(update={"multi_label": True}))
    assert (task.kind, task.outputs) == ("multi_label", 3)


@pytest.mark.parametrize(
    ("families", "pointer"),
    [
        ({"dataset": {"target": ["sport", "nws"]}}, "/dataset/target/1"),
        ({"dataset": {"target": ["sport", "sport"]}}, "/dataset/target/1"),
        ({"dataset": {"target": ["sport", "tags"]}}, "/dataset/target"),
        ({"dataset": {"target": ["sport", "price"], "class_mode": "multi_label"}}, "/dataset/target"),
        ({"dataset": {"target": "tags", "delimiter": "|"}}, None),
        ({"dataset": {"target": "size", "delimiter": ";"}}, "/dataset/delimiter"),
        ({"dataset": {"target": ["sport", "news"]}, "loss": {"type": "cross_entropy"}}, "/loss/type"),
        ({"dataset": {"target": ["sport", "news"]}, "loss": {"type": "hinge"}}, "/loss/type"),
        ({"dataset": {"target": ["sport", "news"]}, "loss": {"type": "mse"}}, "/loss/type"),
    ],
)
def test_labels_that_do_not_fit(families: dict[str, dict[str, object]], pointer: str | None) -> None:
    sent = spec(**{**families, "dataset": {"id": "d", **families["dataset"]}})
    if pointer is None:
        assert task_of(sent, TAGS).classes == ("art", "art; news", "news")
        return
    with pytest.raises(SpecInvalid) as raised:
        task_of(sent, TAGS)
    assert {error.pointer for error in raised.value.errors} == {pointer}


REVIEWS = table(
    number("stars"), words("land", "de", "fr"), words("liked", "no", "yes"), texts=(text("review"), text("title", 700))
)
ONLY_TEXT = table(words("liked", "no", "yes"), texts=(text("review"),))


@pytest.mark.parametrize(
    ("dataset", "features", "texts", "shape", "vocabulary"),
    [
        ({}, ("stars", "land"), (), 3, 0),
        ({"text": {"type": "multi_hot"}}, ("stars", "land", "review", "title"), ("review", "title"), 10_703, 0),
        ({"features": ["title"]}, ("title",), ("title",), 700, 0),
        ({"text": {"type": "tokens", "columns": ["review"]}}, ("review",), ("review",), 256, 10_002),
        ({"features": ["land"], "text": {"type": "tokens", "columns": ["land"]}}, ("land",), ("land",), 256, 4),
    ],
)
def test_columns_of_text_are_inputs_where_the_spec_says_how(
    dataset: dict[str, object], features: tuple[str, ...], texts: tuple[str, ...], shape: int, vocabulary: int
) -> None:
    task = task_of(spec(dataset={"id": "d", **dataset}), REVIEWS)
    assert (task.features, task.texts, task.input_shape, task.vocabulary) == (features, texts, (shape,), vocabulary)


def test_a_text_that_is_all_there_is_is_read_as_multi_hot() -> None:
    task = task_of(spec(), ONLY_TEXT)
    assert (task.texts, task.input_shape) == (("review",), (10_000,))


@pytest.mark.parametrize(
    ("dataset", "pointer", "code"),
    [
        ({"text": {"type": "multi_hot", "columns": ["revew"]}}, "/dataset/text/columns/0", "unknown_column"),
        (
            {"text": {"type": "multi_hot", "columns": ["stars", "review", "title"]}},
            "/dataset/text/columns/0",
            "not_text",
        ),
        (
            {"features": ["review"], "text": {"type": "tokens", "columns": ["land"]}},
            "/dataset/text/columns",
            "unread_text",
        ),
        ({"features": ["stars"], "text": {"type": "multi_hot"}}, "/dataset/text", "no_text"),
        ({"text": {"type": "tokens"}}, "/dataset/features", "tokens_alone"),
        ({"features": ["stars", "review"], "text": {"type": "tokens"}}, "/dataset/features", "tokens_alone"),
        ({"target": "review"}, "/dataset/target", "text_target"),
    ],
)
def test_texts_that_cannot_be_read_so(dataset: dict[str, object], pointer: str, code: str) -> None:
    with pytest.raises(SpecInvalid) as raised:
        task_of(spec(dataset={"id": "d", **dataset}), REVIEWS)
    assert (pointer, code) in [(error.pointer, error.code) for error in raised.value.errors]
