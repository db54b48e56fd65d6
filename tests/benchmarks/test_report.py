"""The page is made of what was kept."""

from benchmarks.report import PAGE, contest_section, page, read


def test_the_page_says_what_was_kept() -> None:
    assert PAGE.read_text() == page(read())


def test_a_contestant_has_its_rate_and_what_it_was_held_against_the_fastest_first() -> None:
    every = {"cpu_microseconds": 12.4, "other_load": 0.0, "versions": {"torch": "2"}}
    surroundings = {"when": "", "cores": 2, "processor": "", "python": "", "rounds": 1}
    words = {"title": "", "command": "", "about": "", "unit": "images", "left_out": {"third": "it said nothing"}}
    rows = [
        {"name": "other", "rate": 100.0, "rates": (90.0, 110.0), "against": 3.0, "againsts": (2.9, 3.1), **every},
        {"name": "ours", "rate": 300.0, "rates": (290.0, 310.0), "against": 1.0, "againsts": (1.0, 1.0), **every},
    ]
    lines = contest_section({**words, **surroundings, "contestants": rows}).splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| o")]
    assert cells == [
        ["ours", "300", "290 – 310", "1.00×", "1.00 – 1.00", "12 µs", "0.00", "torch 2"],
        ["other", "100", "90 – 110", "3.00×", "2.90 – 3.10", "12 µs", "0.00", "torch 2"],
    ]
    assert "Left out: third (it said nothing)." in lines
