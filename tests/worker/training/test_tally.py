"""Which examples an operation has changed, however little."""

import pytest
import torch

from worker.training.tally import differing

IMAGES = torch.zeros(4, 3, 8, 6)


@pytest.mark.parametrize("place", [(0, 0, 0), (1, 4, 2), (2, 7, 5)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_one_number_anywhere_is_a_change(place: tuple[int, int, int], layout: torch.memory_format) -> None:
    after = IMAGES.clone(memory_format=layout)
    after[(1, *place)] = 1.0
    everybody = torch.ones(4, dtype=torch.bool)
    assert differing(IMAGES, after, everybody).tolist() == [False, True, False, False]


def test_only_the_examples_asked_about_are_told_of() -> None:
    among = torch.tensor([True, False, False, True])
    assert differing(IMAGES, IMAGES + 1.0, among).tolist() == among.tolist()
    assert differing(IMAGES.flatten(1), IMAGES.flatten(1) + 1.0, among).tolist() == among.tolist()


def test_what_was_not_finished_before_is_compared_as_if_it_had_been() -> None:
    everybody = torch.ones(4, dtype=torch.bool)
    after = IMAGES - 1.0
    after[2, 1, 3, 3] = 5.0
    assert differing(IMAGES.byte(), after, everybody, lambda images: images - 1.0).tolist() == [
        False,
        False,
        True,
        False,
    ]
