import pytest

from client.command_line.sparkline import sparkline


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([], ""),
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([3.0], "▅"),
        ([2, 2, 2], "▅▅▅"),
        ([0, None, 1], "▁ █"),
        ([None, None], "  "),
    ],
)
def test_a_curve_goes_from_its_lowest_to_its_highest_value(values: list[float | None], line: str) -> None:
    assert sparkline(values) == line


def test_a_long_curve_is_thinned_out_by_means() -> None:
    assert sparkline([0, 0, 4, 4, 3, 5, 8, 8], width=4) == "▁▅▅█"
