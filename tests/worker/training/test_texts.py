"""Texts, from the packed words to what a network makes of them."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.spec import parse_spec, resolve
from models.spec.layers import plan_of
from models.spec.manifest import CategoricalColumn, TableManifest
from models.spec.words import words_of
from tests.worker.training.little import last_of, load, pack_table, run
from tests.worker.training.test_data import COLUMNS
from tests.worker.training.test_warm_start import prepared, trained
from worker.ingest import ingest
from worker.training import Dataset, EpochDone, Warned, train
from worker.training.data import read_manifest
from worker.training.network import build_network

RANDOM = np.random.default_rng(0)
LIKED = RANDOM.integers(0, 2, 120)
TEXTS = [
    " ".join([*RANDOM.choice([*"abcdefgh"], RANDOM.integers(1, 9)), "good" if liked else "bad", f"film{place} " * 5])
    for place, liked in enumerate(LIKED)
]
TEXTS[7], TEXTS[11] = "", "?"
TOKENS = {"type": "tokens", "words": 12, "length": 10}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reviews with a number and the class; each has a film of its own, so that ingest keeps them as text."""
    folder = tmp_path_factory.mktemp("texts")
    rows = [
        f'"{text}, {"-" * 300}",{place},{liked}\n' for place, (text, liked) in enumerate(zip(TEXTS, LIKED, strict=True))
    ]
    rows[7], rows[11] = f",7,{LIKED[7]}\n", f"?,11,{LIKED[11]}\n"
    (folder / "a.csv").write_text("review,number,liked\n" + "".join(rows))
    ingest(folder / "a.csv", folder / "packed", filename="a.csv")
    return folder / "packed"


def words(text: dict[str, Any], **families: Any) -> dict[str, Any]:
    dataset = {"id": "x", "validation": {"fraction": 0.25}, "features": ["review"], "text": text}
    return {"dataset": dataset, "loss": {"type": "cross_entropy"}, **families}


def training_rows(data: Dataset) -> list[int]:
    assert data.training.rows is not None
    return data.training.rows.tolist()


def expected_vocabulary(data: Dataset, most: int) -> list[str]:
    counts = Counter(word for row in training_rows(data) for word in words_of(TEXTS[row]) if TEXTS[row] != "?")
    return sorted(counts, key=lambda word: (-counts[word], word))[:most]


def test_the_vocabulary_is_that_of_the_training_part_alone(packed: Path) -> None:
    _, data = load(packed, words({"type": "multi_hot", "words": 30}))
    assert data.vocabularies == {"review": expected_vocabulary(data, 30)}
    everywhere = load(packed, words({"type": "multi_hot", "words": 30}) | {"seed": 1})[1]
    assert everywhere.vocabularies != data.vocabularies


def test_multi_hot_says_which_of_the_most_frequent_words_a_text_holds(packed: Path) -> None:
    _, data = load(packed, words({"type": "multi_hot", "words": 9}))
    vocabulary = expected_vocabulary(data, 9)
    inputs, _ = data.training.gather(torch.arange(len(data.training)))
    expected = [[int(word in words_of(TEXTS[row])) for word in vocabulary] for row in training_rows(data)]
    assert inputs.tolist() == expected


def test_numbers_come_before_the_words_and_alone_are_standardized(packed: Path) -> None:
    text = {"type": "multi_hot", "words": 9}
    spec = words(text)["dataset"] | {"features": ["review", "number"]}
    _, data = load(packed, {"dataset": spec, "loss": {"type": "cross_entropy"}})
    inputs, _ = data.training.gather(torch.arange(len(data.training)))
    rows = torch.tensor(training_rows(data), dtype=torch.float64)
    assert inputs[:, 0].tolist() == rows.tolist()
    assert data.normalization.mean == pytest.approx((rows.mean().item(), *[0.0] * 9))
    assert data.normalization.std == pytest.approx((rows.std(correction=0).item(), *[1.0] * 9))


@pytest.mark.parametrize("truncation", ["end", "start"])
@pytest.mark.parametrize("padding", ["end", "start"])
def test_tokens_are_the_places_of_words_with_0_around_and_1_for_others(
    packed: Path, truncation: str, padding: str
) -> None:
    text = {**TOKENS, "truncation": truncation, "padding": padding}
    _, data = load(packed, words(text, network={"type": "lstm", "width": 4}))
    vocabulary = expected_vocabulary(data, 12)

    def expected(text: str) -> list[int]:
        known = [vocabulary.index(word) + 2 if word in vocabulary else 1 for word in words_of(text)] or [1]
        kept = known[:10] if truncation == "end" else known[-10:]
        empty = [0] * (10 - len(kept))
        return kept + empty if padding == "end" else empty + kept

    inputs, _ = data.training.gather(torch.arange(len(data.training)))
    texts = ["" if TEXTS[row] == "?" else TEXTS[row] for row in training_rows(data)]
    assert inputs.tolist() == [expected(text) for text in texts]


@pytest.mark.parametrize(
    "network",
    [
        {"type": "rnn", "layers": 2},
        {"type": "lstm", "bidirectional": True, "layers": 2},
        {"type": "gru", "bidirectional": True, "pooling": "mean"},
        {"type": "transformer", "heads": 2},
        {"type": "transformer", "heads": 2, "pooling": "class"},
        {"type": "sequential", "pooling": "global_average_pooling"},
        {"type": "sequential", "pooling": "global_max_pooling"},
    ],
)
def test_a_text_is_read_alike_whatever_stands_around_it(packed: Path, network: dict[str, Any]) -> None:
    if network["type"] == "sequential":
        layers = [{"type": "embedding", "width": 6}, {"type": network["pooling"]}, {"type": "dense", "units": 2}]
        network = {"type": "sequential", "layers": layers}
    else:
        network = {"width": 6, **network}
    outputs = []
    for length, padding in ((10, "end"), (10, "start"), (25, "end"), (25, "start")):
        text = {**TOKENS, "words": 200, "length": length, "padding": padding}
        spec, data = load(packed, words(text, network=network))
        model = build_network(spec, data.task).eval()
        short = torch.tensor([row for row in training_rows(data) if len(words_of(TEXTS[row])) <= 10])
        assert len(short) > 20
        stored = data.training.texts[0].gather(short)
        outputs.append(model(stored).detach())
    for other in outputs[1:]:
        torch.testing.assert_close(other, outputs[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("both", [False, True])
def test_recurrent_layers_read_texts_as_pytorch_reads_packed_sequences(packed: Path, kind: str, both: bool) -> None:
    network = {"type": kind, "width": 5, "embedding": 3, "bidirectional": both}
    spec, data = load(packed, words(TOKENS, network=network))
    model = build_network(spec, data.task).eval()
    tokens, _ = data.training.gather(torch.arange(40))
    reference = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind](
        3, 5, 1, batch_first=True, bidirectional=both
    )
    for parameter, weight in zip(reference.parameters(), model.layers[0].weights(), strict=True):  # type: ignore[union-attr, index]
        parameter.data.copy_(weight)
    counts = (tokens != 0).sum(1)
    embedded = torch.nn.functional.embedding(tokens, model.embedding.weight)  # type: ignore[union-attr, arg-type]
    given = torch.nn.utils.rnn.pack_padded_sequence(embedded, counts, batch_first=True, enforce_sorted=False)
    _, last = reference(given)
    last = last[0] if kind == "lstm" else last
    expected = model.output(last.permute(1, 0, 2).flatten(1))  # type: ignore[operator]
    torch.testing.assert_close(model(tokens), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ({"type": "multi_hot", "words": 30}, {"type": "mlp", "hidden": [8]}),
        (TOKENS, {"type": "gru", "width": 8, "embedding": 8, "pooling": "mean"}),
        (TOKENS, {"type": "transformer", "width": 8, "depth": 1, "heads": 2}),
    ],
)
def test_what_a_text_says_is_learnt_and_comes_with_the_weights(
    packed: Path, text: dict[str, Any], network: dict[str, Any]
) -> None:
    told = words(text, network=network, training={"epochs": 10, "batch_size": 15})
    told["optimizer"] = {"type": "adam", "learning_rate": 0.02}
    events = run(packed, told)
    assert [event for event in events if isinstance(event, EpochDone)][-1].metrics["validation/accuracy"] > 0.9
    _, data = load(packed, told)
    metadata = last_of(events).weights_metadata
    assert metadata["vocabularies"] == str(dict(data.vocabularies)).replace("'", '"')


def test_embeddings_start_from_the_standard_normal_and_padding_at_0(packed: Path) -> None:
    spec, data = load(packed, words({**TOKENS, "words": 200}, network={"type": "lstm", "embedding": 64}))
    weight = build_network(spec, data.task).embedding.weight.detach()  # type: ignore[union-attr, operator]
    assert (weight[0] == 0).all()
    assert weight[1:].mean().item() == pytest.approx(0.0, abs=0.03)
    assert weight[1:].std().item() == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("network", ["lstm", "sequential"])
def test_an_embedding_may_start_otherwise(packed: Path, network: str) -> None:
    start = {"type": "uniform", "low": 2.0, "high": 3.0}
    families: dict[str, Any] = {"network": {"type": "lstm"}}
    families["initialization"] = {"type": "default", "overrides": [{"target": "embedding", "initialization": start}]}
    if network == "sequential":
        layers = [{"type": "embedding", "width": 4, "initialization": start}, {"type": "flatten"}]
        families = {"network": {"type": "sequential", "layers": [*layers, {"type": "dense", "units": 2}]}}
    spec, data = load(packed, words(TOKENS, **families))
    weight = next(iter(build_network(spec, data.task).parameters())).detach()
    assert weight[1:].min() >= 2.0


def test_a_column_of_categories_may_be_read_as_text(tmp_path: Path) -> None:
    columns = (COLUMNS[0], CategoricalColumn(name="say", missing=1, categories=("dark blue", "dark red")), COLUMNS[2])
    rows = np.array([[1.0, 0, 3], [2.0, 1, 5], [1.0, np.nan, 8], [3.0, 1, 5]])
    text = {"type": "multi_hot", "columns": ["say"]}
    dataset = {"id": "x", "features": ["say"], "text": text}
    _, data = load(pack_table(tmp_path, columns, rows), {"dataset": dataset})
    assert data.vocabularies == {"say": ["dark", "red", "blue"]}
    inputs, _ = data.training.gather(torch.arange(4))
    assert inputs.tolist() == [[1, 0, 1], [1, 1, 0], [0, 0, 0], [1, 1, 0]]


def test_a_resolved_spec_says_how_texts_are_read(packed: Path) -> None:
    manifest = read_manifest(packed)
    assert isinstance(manifest, TableManifest)
    sent = parse_spec(
        {"dataset": {"id": "x", "features": ["review"]}, "network": {"type": "mlp"}, "training": {"epochs": 1}}
    )
    resolved = resolve(sent, manifest)
    assert resolved.dataset.text is not None
    assert (resolved.dataset.text.type, resolved.dataset.text.columns) == ("multi_hot", ("review",))
    assert resolve(resolved, manifest) == resolved


@pytest.mark.parametrize(
    "network",
    [
        {"type": "rnn", "width": 5, "embedding": 3},
        {"type": "lstm", "width": 5, "layers": 2, "bidirectional": True},
        {"type": "transformer", "width": 8, "heads": 2, "positions": "learned", "pooling": "class"},
        {
            "type": "sequential",
            "layers": [{"type": "embedding", "width": 4}, {"type": "flatten"}, {"type": "dense", "units": 2}],
        },
    ],
)
def test_a_network_for_tokens_has_the_tensors_that_its_plan_says(packed: Path, network: dict[str, Any]) -> None:
    spec, data = load(packed, words(TOKENS, network=network))
    plan = plan_of(spec.network, data.task)
    planned = {f"{layer.name}.{end}": shape for layer in plan for end, shape in layer.tensors.items()}
    built = {name: tuple(tensor.shape) for name, tensor in build_network(spec, data.task).state_dict().items()}
    assert planned == built


def test_a_start_from_weights_that_read_other_words_is_told(packed: Path, tmp_path: Path) -> None:
    told = words({"type": "multi_hot", "words": 30}, training={"epochs": 1, "batch_size": 60})
    earlier = trained(packed, told, tmp_path)
    for seed, expected in ((0, []), (1, ["other_vocabulary"])):
        spec, data = prepared(packed, {**told, "seed": seed}, earlier)
        events = train(spec, data, start_from=earlier)
        assert [event.code for event in events if isinstance(event, Warned)] == expected
