"""The page is made of what was kept."""

from benchmarks.report import PAGE, contest_section, page, read


def test_the_page_says_what_was_kept() -> None:
    assert PAGE.read_text() == page(read())


def test_a_contestant_is_held_against_ours_in_its_own_precision() -> None:
    rates = {"this engine": 300.0, "this engine, bfloat16": 600.0, "another": 100.0, "another, bfloat16": 150.0}
    every = {"lowest": 0.0, "highest": 0.0, "cpu_microseconds": 0.0, "other_load": 0.0, "versions": {}}
    surroundings = {"when": "", "cores": 2, "processor": "", "python": "", "rounds": 1}
    words = {"title": "", "command": "", "about": "", "ours": "this engine", "unit": "images", "left_out": {}}
    rows = [{"name": name, "rate": rate, **every} for name, rate in rates.items()]
    lines = contest_section({**words, **surroundings, "contestants": rows}).splitlines()
    against = {cells[1].strip(): cells[4].strip() for line in lines if len(cells := line.split("|")) > 4}
    assert [against[name] for name in rates] == ["1.00×", "1.00×", "3.00×", "4.00×"]
