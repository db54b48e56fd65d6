import pytest

from local.findings import Run, better_of, explain


def run(name: str, *, accuracy: float, losses: tuple[float, float] = (2.0, 0.1), gradient_norm: float = 1.0) -> Run:
    return Run(
        name=name,
        technique=name.lower(),
        accuracies=(0.1, accuracy),
        losses=losses,
        gradient_norm=gradient_norm,
        images_per_second=1.0,
        seconds=1.0,
    )


STUCK = run("Stuck", accuracy=0.1, losses=(2.30, 2.30), gradient_norm=0.1)


def test_the_better_run_is_the_one_that_got_more_right_at_its_best() -> None:
    he = run("He", accuracy=0.9)
    assert better_of(STUCK, he) == better_of(he, STUCK) == (he, STUCK)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (run("He", accuracy=0.9, gradient_norm=5), "gradients of stuck were 50 times smaller (0.1 against 5"),
        (run("He", accuracy=0.9, gradient_norm=0.01), "gradients of stuck were 10 times larger (0.1 against 0.01"),
        (run("He", accuracy=0.9, gradient_norm=0.2), "gradients were of like size (0.1 against 0.2"),
        (run("He", accuracy=0.9), "Stuck's loss stood still (2.30 → 2.30) and it never got more than 10.0% right"),
        (run("He", accuracy=0.9), "He's went 2.00 → 0.10 and it got 90.0%"),
        (run("He", accuracy=0.11), "made no difference: he got 11.0% right, stuck 10.0%"),
    ],
)
def test_the_sentence_says_what_the_numbers_say(other: Run, words: str) -> None:
    assert words in explain(STUCK, other)
