"""What random faults there are is decided by a number, and can be done once more."""

from pathlib import Path

import pytest

from tests.faults import punisher
from tests.faults.deeds import PUNISHMENTS, by, drawn, picked, read_deeds, write_deeds


def test_a_seed_decides_everything() -> None:
    assert drawn(1, 60, 4) == drawn(1, 60, 4)
    assert drawn(1, 60, 4) != drawn(2, 60, 4)


def test_everything_happens_to_somebody_in_five_minutes() -> None:
    deeds = [deed for seed in (1, 2, 3) for deed in drawn(seed, 300, 4)]
    assert {deed.what for deed in by("punisher", deeds)} == PUNISHMENTS.keys()
    assert {deed.what for deed in by("client-3", deeds)} == {"post", "cancel", "list"}


def test_what_was_written_down_is_what_was_done(tmp_path: Path) -> None:
    write_deeds(tmp_path / "history", drawn(1, 60, 4))
    assert read_deeds(tmp_path / "history") == drawn(1, 60, 4)


@pytest.mark.parametrize(("which", "one"), [(0.0, "a"), (0.5, "b"), (0.999, "c")])
def test_each_of_those_there_are_may_be_picked(which: float, one: str) -> None:
    assert picked(["a", "b", "c"], which) == one


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_a_history_is_replayed(tmp_path: Path) -> None:
    first, again = tmp_path / "first", tmp_path / "again"
    assert punisher.main(4, 10, 2, first) == 0
    assert punisher.main(0, 0, 2, again, replay=first) == 0
    done = [[(deed.who, deed.what, deed.which) for deed in sorted(read_deeds(file), key=lambda deed: deed.who)]
            for file in (first, again)]  # fmt: skip
    assert done[0] == done[1]
