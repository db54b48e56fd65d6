import re
from pathlib import Path

import pytest

from api.__main__ import access_table
from api.main import create_app
from models.settings import Settings

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented_in_its_own_words(name: str) -> None:
    meaning = " ".join(str(Settings.model_fields[name].description).split())
    rows = [row for row in (ROOT / "docs/reference/settings.md").read_text().splitlines() if f"_{name.upper()}`" in row]
    assert [
        row for row in rows if row.startswith(f"| `TRAINWRIGHT_{name.upper()}` |") and row.endswith(f"| {meaning} |")
    ]


def test_no_setting_is_documented_that_does_not_exist() -> None:
    documented = re.findall(r"^\| `TRAINWRIGHT_(\w+)`", (ROOT / "docs/reference/settings.md").read_text(), re.MULTILINE)
    assert {name.lower() for name in documented} == Settings.model_fields.keys()


def test_the_table_of_who_may_call_what_is_what_the_routes_say() -> None:
    assert (ROOT / "docs/reference/access.md").read_text() == access_table() + "\n"


def test_the_table_of_endpoints_has_every_one_with_its_answers_and_tests_that_exist(tmp_path: Path) -> None:
    app = create_app(Settings(database_url="sqlite://", storage_url=f"file://{tmp_path}"))
    said = {}
    for path, operations in app.openapi()["paths"].items():
        for method, operation in operations.items():
            answers = " ".join(status for status in operation["responses"] if status < "400")
            refusals = " ".join(status for status in operation["responses"] if status >= "400")
            said[f"{method.upper()} `{path}`"] = [operation["operationId"], answers, refusals]
    lines = (ROOT / "docs/reference/endpoints.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if re.match(r"\| [A-Z]+ `", line)]
    assert {row[0]: row[1:4] for row in rows} == said
    for file, test in {tuple(name.partition("::")[::2]) for row in rows for name in re.findall("`([^`]+)`", row[4])}:
        assert f"def {test}(" in (ROOT / file).read_text() or not test, (file, test)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
