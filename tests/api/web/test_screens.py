"""Every screen in a real browser, in both themes: whole, calm, and open to everybody."""

import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import expect

from tests.api.web.browser import Theme, Visitor
from tests.api.web.conftest import HOSTILE, Site, Visit, digits_spec

PICTURE = Path(__file__).parents[3] / "docs" / "images" / "job.png"
pytestmark = pytest.mark.xdist_group("browser")
SCREENS = ("sign-in", "jobs", "job", "new-job", "compare", "datasets", "dataset", "workers")
EMPTY = {
    "/jobs": "No jobs yet",
    "/jobs?state=failed": "No job matches",
    "/datasets": "No data sets yet",
    "/compare": "Choose runs to compare",
    f"/jobs/job_{'0' * 32}": "Nothing here",
    f"/datasets/ds_{'0' * 32}": "Nothing here",
}


def path_of(screen: str, site: Site) -> str:
    paths = {"job": f"/jobs/{site.jobs[0]}", "new-job": "/jobs/new", "dataset": f"/datasets/{site.dataset_id}"}
    return (paths | {"compare": f"/compare?jobs={','.join([*site.jobs, site.repeated])}"}).get(screen, f"/{screen}")


def serious(visitor: Visitor) -> list[str]:
    """What axe finds that keeps people out."""
    found = Axe().run(visitor.page).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:160]} {node['failureSummary']}"
        for rule in found
        if rule["impact"] in ("serious", "critical", "moderate")
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("screen", SCREENS)
def test_a_screen_is_whole_and_open_to_everybody(visit: Visit, site: Site, screen: str) -> None:
    somebody = visit(None if screen == "sign-in" else "submit")
    page = somebody.open(path_of(screen, site))
    if screen in ("job", "compare"):
        page.wait_for_selector("figure[data-points]:not([data-points='0']) canvas")
    if screen in ("job", "dataset"):
        page.wait_for_selector("canvas.picture[data-drawn]")
    if screen == "new-job":
        expect(page.get_by_role("heading", name="Ready to train")).to_be_visible()
        expect(page.locator(".preview[data-state='ready']")).to_have_count(3, timeout=30_000)
    themes: tuple[Theme, ...] = ("light", "dark")
    for theme in themes:
        page.emulate_media(color_scheme=theme)
        somebody.picture(f"{screen}-{theme}")
        assert serious(somebody) == [], theme


@pytest.mark.parametrize(("path", "words"), EMPTY.items(), ids=EMPTY)
def test_where_nothing_is_the_page_says_so(visit: Visit, path: str, words: str) -> None:
    somebody = visit(project="newcomers")
    expect(somebody.open(path).get_by_role("heading", name=words)).to_be_visible()
    somebody.complaints = [said for said in somebody.complaints if "404" not in said]  # browsers log each 404
    assert serious(somebody) == []


@pytest.mark.parametrize("path", ["/jobs/new", "/datasets"])
def test_who_may_only_look_is_told_so(visit: Visit, path: str) -> None:
    somebody = visit("read")
    expect(somebody.open(path).get_by_text("Your key only reads")).to_be_visible()
    assert serious(somebody) == []


def test_who_may_only_look_is_not_offered_more(visit: Visit, site: Site) -> None:
    page = visit("read").open(f"/jobs/{site.jobs[0]}")
    expect(page.get_by_role("link", name="Compare").last).to_be_visible()
    expect(page.get_by_role("link", name="New job from this")).to_have_count(0)


def test_a_service_that_is_away_is_an_error_with_a_way_on(visit: Visit) -> None:
    somebody = visit()
    somebody.page.route("**/v1/jobs?*", lambda route: route.abort())
    page = somebody.open("/jobs")
    expect(page.get_by_role("heading", name="No connection")).to_be_visible()
    somebody.page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("region", name="Jobs")).to_be_visible()
    somebody.complaints.clear()  # browsers log what they cannot load


@pytest.mark.parametrize("screen", ["jobs", "job", "new-job", "compare", "workers"])
def test_a_name_is_text_and_nothing_else(visit: Visit, site: Site, screen: str) -> None:
    page = visit().open(path_of(screen, site))
    page.wait_for_timeout(300)
    if screen not in ("new-job", "workers"):
        expect(page.locator("h1, main a, main th").get_by_text(HOSTILE).first).to_be_visible()
    assert page.title() != "taken"
    assert page.locator("main img[src='x']").count() == 0


def test_charts_can_be_read_without_being_seen(visit: Visit, site: Site) -> None:
    page = visit().open(f"/jobs/{site.jobs[0]}")
    loss = page.get_by_role("figure").filter(has=page.get_by_role("heading", name="Loss", exact=True))
    chart = loss.locator(".plot")
    expect(chart).to_have_attribute("aria-label", re.compile(r"Loss\. train: now .* at step \d+, lowest"))
    chart.press("Home")
    expect(loss.locator("output")).to_contain_text("step 1,")
    chart.press("ArrowRight")
    expect(loss.locator("output")).to_contain_text("step 2,")
    loss.get_by_role("button", name="Table").click()
    expect(loss.get_by_role("row")).not_to_have_count(0)
    norm = page.get_by_role("figure").filter(has=page.get_by_role("heading", name="Gradient norm"))
    assert 0 <= float(norm.get_attribute("data-clipped-share") or "nan") <= 1
    expect(norm).to_contain_text("clipped above")


def test_layers_can_be_looked_at_by_what_they_do(visit: Visit, site: Site) -> None:
    page = visit().open(f"/jobs/{site.jobs[0]}")
    layers = page.get_by_role("region", name="Layers over the epochs")
    expect(layers.get_by_role("row")).to_have_count(1 + 3)
    shown = layers.get_by_role("row").nth(1).text_content()
    page.get_by_role("button", name="Weight norm").click()
    expect(page.get_by_text("Weight norm: at the end of the epoch")).to_be_visible()
    assert layers.get_by_role("row").nth(1).text_content() != shown


def test_mistaken_examples_are_shown_with_their_pictures(visit: Visit, site: Site) -> None:
    page = visit().open(f"/jobs/{site.jobs[0]}")
    mistaken = page.get_by_role("region", name="Mistaken examples").get_by_role("listitem")
    report = site.service.job(site.jobs[0])["summary"]["report"]["mistaken"]
    expect(mistaken).to_have_count(min(24, len(report)))
    expect(mistaken.first).to_contain_text(f"{report[0]['actual']}taken for {report[0]['predicted']}")
    expect(mistaken.first.get_by_role("img", name=f"Example {report[0]['example']}: 8×8 pixels")).to_be_visible()


def test_runs_that_differ_only_in_the_seed_show_the_noise(visit: Visit, site: Site) -> None:
    page = visit().open(f"/compare?jobs={site.jobs[1]},{site.repeated}")
    expect(
        page.get_by_role("region", name="Noise").get_by_role("row", name=re.compile("^Accuracy, val"))
    ).to_contain_text("±")


def test_examples_are_looked_through(visit: Visit, site: Site) -> None:
    page = visit().open(f"/datasets/{site.dataset_id}")
    examples = page.get_by_role("region", name="Examples")
    expect(examples.locator("canvas[data-drawn]")).to_have_count(24)
    examples.get_by_role("button", name="More").click()
    expect(examples.locator("canvas[data-drawn]")).to_have_count(48)
    first = examples.get_by_role("listitem").first.text_content()
    page.get_by_role("button", name="Shuffle").click()
    expect(examples.get_by_role("listitem")).to_have_count(24)
    assert examples.get_by_role("listitem").first.text_content() != first


def test_everything_can_be_reached_by_keyboard(visit: Visit) -> None:
    page = visit().open("/jobs")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.textContent || document.activeElement.ariaLabel"))
    assert {"Jobs", "New job", "Sign out", "succeeded", "Name contains", "Xavier"} <= reached


def test_a_theme_that_was_chosen_stays(visit: Visit) -> None:
    somebody = visit()
    page = somebody.open("/jobs")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    for said in ("Theme: light", "Theme: dark"):
        page.get_by_role("button", name="Theme:").click()
        expect(page.get_by_role("button", name=said)).to_be_visible()
    page.reload()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    assert page.evaluate("Object.keys(localStorage)") == ["theme"], "the key is nowhere that a script can read"
    assert page.evaluate("document.cookie") == ""


def test_the_picture_in_the_readme(visit: Visit, site: Site) -> None:
    """`TRAINWRIGHT_SCREENSHOTS=docs/images` with `-k readme` takes it anew; it must look like the page, fonts apart."""
    spec = digits_spec(site.dataset_id, "digits, convolutions", epochs=12) | {
        "network": {"type": "cnn", "widths": [16, 32], "head": [64]},
        "augmentation": [{"type": "affine", "rotation": 10, "shift": [0.1, 0.1]}],
        "optimizer": {"type": "adamw", "learning_rate": 0.003},
        "schedule": {"type": "cosine", "warmup": {"duration": "1 epochs"}},
    }
    job_id = site.service.submit(spec)
    assert site.service.finish(job_id)["status"] == "succeeded"
    somebody = visit()
    somebody.page.set_viewport_size({"width": 1280, "height": 1130})
    page = somebody.open(f"/jobs/{job_id}")
    page.wait_for_selector("figure[data-points='552'] canvas")
    expect(page.get_by_role("region", name="Confusion matrix", exact=True)).to_contain_text("Rows: what it is")
    page.wait_for_selector("canvas.picture[data-drawn]")
    somebody.picture("job", whole=False)
    difference = np.abs(_blurred(PICTURE.read_bytes()) - _blurred(page.screenshot()))
    assert difference.mean() < 3, "the page looks different now: take the picture in the README anew"


def _blurred(picture: bytes) -> NDArray[np.float64]:
    """(56, 64, 3), 0 … 255."""
    with Image.open(BytesIO(picture)) as image:
        return np.asarray(image.convert("RGB").resize((64, 56), Image.Resampling.BOX), np.float64)


def test_the_picture_in_the_readme_is_small() -> None:
    assert PICTURE.stat().st_size < 200_000
