"""What an evaluation comes to, against scikit-learn on all outputs at once."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torch import Tensor

from models.spec import Task
from models.spec.evaluation import Evaluation
from models.spec.loss import BinaryCrossEntropy, CrossEntropy, Hinge, Loss, MeanSquaredError
from models.spec.metrics import MOST_SCORES, measured_on
from worker.training.predictions import Predictions, predictions_of

EXAMPLES = 400


def task_of_classes(classes: int, examples: int = EXAMPLES, outputs: int | None = None) -> Task:
    names = tuple(f"class {index}" for index in range(classes))
    return Task("binary" if outputs == 1 else "multiclass", names, outputs or classes, (1,), 1, examples)


def drawn(classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Outputs that know something, and unequally frequent classes; the last one never occurs where there are many."""
    generator = torch.Generator().manual_seed(seed)
    present = classes if classes < 4 else classes - 1
    targets = (torch.rand(EXAMPLES, generator=generator).square() * present).long()
    outputs = torch.randn(EXAMPLES, classes, generator=generator)
    outputs[torch.arange(EXAMPLES), targets] += 1.0
    return outputs, targets


def taken(
    task: Task, loss: Loss, outputs: Tensor, targets: Tensor, batch: int = 64, options: Evaluation | None = None
) -> Predictions:
    predictions = predictions_of(task, loss, options or Evaluation(), targets, "cpu")
    for part, right in zip(torch.split(outputs, batch), torch.split(targets, batch), strict=True):
        predictions.take(part, right)
    return predictions


def values(predictions: Predictions) -> dict[str, float]:
    return {name: value.item() for name, value in predictions.metrics().items()}


def mean_over_present(function: Any, targets: Tensor, probabilities: np.ndarray[Any, Any]) -> float:
    columns = [targets.numpy() == index for index in range(probabilities.shape[1])]
    return float(np.mean([function(y, probabilities[:, index]) for index, y in enumerate(columns) if y.any()]))


@pytest.mark.parametrize("classes", [3, 8, 60])
def test_many_classes(classes: int) -> None:
    outputs, targets = drawn(classes)
    told = values(taken(task_of_classes(classes), CrossEntropy(), outputs, targets, options=Evaluation(top_k=2)))
    guesses, probabilities = outputs.argmax(1), outputs.double().softmax(1).numpy()
    assert told["accuracy"] == pytest.approx(sk.accuracy_score(targets, guesses), abs=1e-12)
    top = sk.top_k_accuracy_score(targets, outputs.numpy(), k=2, labels=range(classes))
    assert told["top_k_accuracy"] == pytest.approx(top, abs=1e-12)
    for average in ("macro", "weighted"):
        expected = sk.precision_recall_fscore_support(targets, guesses, average=average, zero_division=0)[:3]
        names = (f"precision_{average}", f"recall_{average}", f"f1_{average}")
        assert [told[name] for name in names] == pytest.approx(list(expected), abs=1e-12)
    assert told["roc_auc"] == pytest.approx(mean_over_present(sk.roc_auc_score, targets, probabilities), abs=1e-12)
    average_precision = mean_over_present(sk.average_precision_score, targets, probabilities)
    assert told["average_precision"] == pytest.approx(average_precision, abs=1e-12)


@pytest.mark.parametrize("outputs", [1, 2])
def test_two_classes_by_one_logit_or_by_two(outputs: int) -> None:
    both, targets = drawn(2)
    logit = both.double().diff(dim=1)
    loss: Loss = BinaryCrossEntropy() if outputs == 1 else CrossEntropy()
    given = logit.float() if outputs == 1 else both
    told = values(taken(task_of_classes(2, outputs=outputs), loss, given, targets))
    expected = sk.precision_recall_fscore_support(targets, logit[:, 0] > 0, average="binary")[:3]
    assert [told["precision"], told["recall"], told["f1"]] == pytest.approx(list(expected), abs=1e-12)
    assert told["roc_auc"] == pytest.approx(sk.roc_auc_score(targets, logit[:, 0]), abs=1e-5 if outputs == 1 else 1e-12)
    assert told["average_precision"] == pytest.approx(sk.average_precision_score(targets, logit[:, 0]), abs=1e-4)
    assert told["f1_macro"] == pytest.approx(sk.f1_score(targets, logit[:, 0] > 0, average="macro"), abs=1e-12)


def guo(confidence: np.ndarray[Any, Any], right: np.ndarray[Any, Any], bins: int) -> float:
    """Equations 2 and 3 of the paper, word by word."""
    error = 0.0
    for m in range(1, bins + 1):
        inside = (confidence > (m - 1) / bins) & (confidence <= m / bins)
        if inside.any():
            error += inside.sum() / len(confidence) * abs(right[inside].mean() - confidence[inside].mean())
    return error


@pytest.mark.parametrize("bins", [10, 15])
@pytest.mark.parametrize("classes", [2, 5])
def test_calibration_is_guos(classes: int, bins: int) -> None:
    outputs, targets = drawn(classes)
    options = Evaluation(calibration_bins=bins)
    predictions = taken(task_of_classes(classes), CrossEntropy(), outputs * 3, targets, options=options)
    probabilities = (outputs * 3).softmax(1)
    right = (probabilities.argmax(1) == targets).numpy()
    expected = guo(probabilities.amax(1).double().numpy(), right, bins)
    assert expected > 0.05
    assert values(predictions)["calibration_error"] == pytest.approx(expected, abs=1e-9)
    assert sum(predictions.report()["calibration"]["examples"]) == EXAMPLES


def test_certainty_falls_into_the_last_bin() -> None:
    outputs = torch.tensor([[200.0, 0.0], [200.0, 0.0]])
    report = taken(task_of_classes(2, 2), CrossEntropy(), outputs, torch.tensor([0, 1])).report()
    assert report["calibration"]["examples"][-1] == 2
    assert report["calibration"]["accuracy"][-1] == 0.5
    assert report["calibration"]["accuracy"][0] is None


def test_any_number_of_labels() -> None:
    generator = torch.Generator().manual_seed(0)
    targets = (torch.rand(EXAMPLES, 4, generator=generator) < torch.tensor([0.5, 0.1, 0.02, 0.3])).float()
    outputs = 2 * targets - 1.5 + torch.randn(EXAMPLES, 4, generator=generator)
    predictions = taken(
        Task("multi_label", tuple("abcd"), 4, (1,), 1, EXAMPLES), BinaryCrossEntropy(), outputs, targets
    )
    told, guesses = values(predictions), outputs > 0
    assert told["accuracy"] == pytest.approx(1 - sk.hamming_loss(targets, guesses), abs=1e-12)
    assert told["exact_match"] == pytest.approx(sk.accuracy_score(targets, guesses), abs=1e-12)
    for average in ("micro", "macro"):
        expected = sk.precision_recall_fscore_support(targets, guesses, average=average, zero_division=0)[:3]
        names = (f"precision_{average}", f"recall_{average}", f"f1_{average}")
        assert [told[name] for name in names] == pytest.approx(list(expected), abs=1e-12)
    assert told["roc_auc"] == pytest.approx(sk.roc_auc_score(targets, outputs, average="macro"), abs=1e-12)
    assert told["average_precision"] == pytest.approx(sk.average_precision_score(targets, outputs), abs=1e-12)
    table = predictions.report()["labels"]
    assert table["f1"] == pytest.approx(sk.f1_score(targets, guesses, average=None).tolist(), abs=1e-12)
    assert table["roc_auc"] == pytest.approx(sk.roc_auc_score(targets, outputs, average=None).tolist(), abs=1e-12)
    assert table["examples"] == targets.sum(0).tolist()


@pytest.mark.parametrize("loss", [CrossEntropy(), Hinge()], ids=["cross_entropy", "hinge"])
def test_the_batches_of_the_evaluation_change_no_bit(loss: Loss) -> None:
    outputs, targets = drawn(7)
    once, many = (taken(task_of_classes(7), loss, outputs, targets, batch) for batch in (EXAMPLES, 13))
    assert values(once) == values(many)
    assert once.report() == many.report()


def test_large_evaluations_are_ranked_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs, targets = drawn(9)
    whole = values(taken(task_of_classes(9), CrossEntropy(), outputs, targets))
    monkeypatch.setattr("worker.training.predictions.AT_ONCE", 2 * EXAMPLES)
    assert values(taken(task_of_classes(9), CrossEntropy(), outputs, targets)) == whole


def test_too_many_outputs_are_not_kept_and_not_ranked(monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of_classes(9)
    monkeypatch.setattr("models.spec.metrics.MOST_SCORES", 9 * EXAMPLES - 1)
    assert "validation/roc_auc" not in measured_on(task, CrossEntropy(), None)
    assert "validation/f1_macro" in measured_on(task, CrossEntropy(), None)
    assert "roc_auc" not in values(taken(task, CrossEntropy(), *drawn(9)))
    assert MOST_SCORES * 4 == 256 * 2**20


def test_the_tables_of_few_classes() -> None:
    outputs, targets = drawn(5)
    report = taken(task_of_classes(5), CrossEntropy(), outputs, targets).report()
    guesses = outputs.argmax(1)
    assert report["confusion"]["matrix"] == sk.confusion_matrix(targets, guesses, labels=range(5)).tolist()
    columns = sk.precision_recall_fscore_support(targets, guesses, labels=range(5), zero_division=0)
    table = report["classes"]
    assert table["name"] == [f"class {index}" for index in range(5)]
    for name, column in zip(("precision", "recall", "f1", "examples"), columns, strict=True):
        assert table[name] == pytest.approx(column.tolist(), abs=1e-12)
    area = sk.roc_auc_score(targets == 1, outputs.double().softmax(1)[:, 1])
    assert table["roc_auc"][1] == pytest.approx(area, abs=1e-12)
    assert table["roc_auc"][4] is None, "there is no example of it"


def test_of_many_classes_the_most_frequent_mistakes() -> None:
    outputs, targets = drawn(60)
    confusion = taken(task_of_classes(60), CrossEntropy(), outputs, targets).report()["confusion"]
    matrix = sk.confusion_matrix(targets, outputs.argmax(1), labels=range(60))
    np.fill_diagonal(matrix, 0)
    counts = [mistake["examples"] for mistake in confusion["mistakes"]]
    assert counts == sorted(matrix[matrix > 0].tolist(), reverse=True)
    first = confusion["mistakes"][0]
    assert matrix[int(first["actual"].split()[1]), int(first["predicted"].split()[1])] == matrix.max()


@pytest.mark.parametrize("classes", [2, 5])
def test_the_examples_that_were_mistaken_most_surely(classes: int) -> None:
    outputs, targets = drawn(classes)
    told = taken(task_of_classes(classes), CrossEntropy(), outputs, targets).report()["mistaken"]
    confidence, guesses = outputs.double().softmax(1).numpy().max(1), outputs.argmax(1).numpy()
    wrong = np.flatnonzero(guesses != targets.numpy())
    surest = sorted(wrong.tolist(), key=lambda example: -confidence[example])[:60]
    assert [one["example"] for one in told] == surest
    for one in told:
        assert one["actual"] == f"class {targets[one['example']]}"
        assert one["predicted"] == f"class {guesses[one['example']]}"
        assert one["confidence"] == pytest.approx(confidence[one["example"]], abs=1e-6)


@pytest.mark.parametrize("classes", [1000, 5000])
def test_a_report_stays_small(classes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(classes, (1000,), generator=generator)
    outputs = torch.randn(1000, classes, generator=generator)
    predictions = taken(task_of_classes(classes, 1000), Hinge(), outputs, targets)
    report = predictions.report()
    assert len(json.dumps(report)) < 256 * 1024
    assert report["classes_left_out"] == classes - 1000
    listed = sum(mistake["examples"] for mistake in report["confusion"]["mistakes"])
    assert listed + report["confusion"]["other_mistakes"] == (outputs.argmax(1) != targets).sum()


def test_numbers_and_each_target_of_them() -> None:
    generator = torch.Generator().manual_seed(0)
    targets = torch.randn(EXAMPLES, 2, generator=generator) * torch.tensor([1.0, 5.0]) + torch.tensor([1e4, 0.0])
    outputs = targets + torch.randn(EXAMPLES, 2, generator=generator)
    task = Task("regression", (), 2, (1,), 1, EXAMPLES, targets=("height", "weight"))
    predictions = taken(task, MeanSquaredError(), outputs, targets)
    told, y, guesses = values(predictions), targets.double(), outputs.double()
    assert told["mae"] == pytest.approx(sk.mean_absolute_error(y, guesses), rel=1e-12)
    assert told["rmse"] == pytest.approx(sk.mean_squared_error(y, guesses) ** 0.5, rel=1e-12)
    assert told["r2"] == pytest.approx(sk.r2_score(y, guesses, multioutput="variance_weighted"), abs=1e-12)
    table = predictions.report()["targets"]
    assert table["name"] == ["height", "weight"]
    assert table["mae"] == pytest.approx(sk.mean_absolute_error(y, guesses, multioutput="raw_values").tolist())
    assert table["r2"] == pytest.approx(sk.r2_score(y, guesses, multioutput="raw_values").tolist(), abs=1e-12)


def test_targets_that_do_not_vary_have_no_r2() -> None:
    task = Task("regression", (), 1, (1,), 1, 3)
    predictions = taken(task, MeanSquaredError(), torch.zeros(3, 1), torch.ones(3, 1))
    assert predictions.report()["targets"]["r2"] == [None]
    assert predictions.report()["targets"]["name"] == ["0"]
    assert np.isnan(values(predictions)["r2"])
