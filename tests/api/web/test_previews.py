"""What a spec would do, below its editor, before anything runs."""

import json
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.api.web.conftest import Site, Visit, digits_spec
from tests.api.web.test_screens import serious

pytestmark = pytest.mark.xdist_group("browser")
WAITING = {"id": f"prv_{'0' * 32}", "status": "queued", "status_reason": "waiting for a worker: none is online"}


def write(page: Page, spec: dict[str, Any]) -> None:
    page.get_by_role("textbox", name="Job spec").fill(json.dumps(spec, indent=2))


def part(page: Page, name: str, state: str) -> Locator:
    found = page.get_by_role("region", name=name, exact=True)
    expect(found).to_have_attribute("data-state", state, timeout=30_000)
    return found


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_rate_examples_and_start_are_shown_while_one_types(visit: Visit, site: Site, theme: Any) -> None:
    somebody = visit(theme=theme)
    page = somebody.open("/jobs/new")
    narrow = {"network": {"type": "mlp", "hidden": [64] * 14}, "initialization": {"type": "normal", "std": 0.01}}
    turned = [
        {"type": "affine", "rotation": 25, "shift": [0.1, 0.1]},
        {"type": "mixup"},
        {"type": "invert", "from": "50%"},
    ]
    restarts = {"type": "cosine_warm_restarts", "t_0": "1 epochs"}
    write(page, digits_spec(site.dataset_id, "x") | narrow | {"augmentation": turned, "schedule": restarts})
    start = part(page, "Start of the network", "ready")
    expect(start.get_by_text("Vanishing at")).to_be_visible()
    expect(start.get_by_role("row")).to_have_count(16)
    expect(part(page, "Learning rate", "ready").locator("figure")).to_have_attribute("data-points", "138")
    examples = part(page, "First examples", "ready")
    expect(examples.get_by_role("img")).to_have_count(16)
    assert examples.get_by_role("img").first.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 796
    expect(examples).to_contain_text("begins later in the run")
    somebody.picture(f"previews-{theme}")
    assert serious(somebody) == []
    page.get_by_role("textbox", name="Job spec").fill("{}")
    expect(page.locator(".preview[data-stale]")).to_have_count(3)
    assert serious(somebody) == []


def test_without_a_worker_it_says_so_and_goes_on_by_itself(visit: Visit, site: Site) -> None:
    somebody = visit()
    page = somebody.page
    page.route("**/v1/previews/*", lambda route: route.fulfill(status=202, json=WAITING))
    somebody.open("/jobs/new")
    for name in ("Learning rate", "First examples", "Start of the network"):
        expect(part(page, name, "waiting")).to_contain_text("Waiting for a worker: none is online.")
    somebody.picture("previews-waiting")
    assert serious(somebody) == []
    page.unroute_all()
    part(page, "Learning rate", "ready")


def test_what_goes_wrong_can_be_tried_again(visit: Visit, site: Site) -> None:
    def refuse(route: Route) -> None:
        route.fulfill(status=429, json={"detail": "20 previews of this project are waiting to be made"})

    somebody = visit()
    page = somebody.page
    page.route("**/v1/previews/schedule*", refuse)
    somebody.open("/jobs/new")
    rate = part(page, "Learning rate", "failed")
    expect(rate).to_contain_text("20 previews of this project")
    somebody.picture("previews-failed")
    assert serious(somebody) == []
    page.unroute_all()
    rate.get_by_role("button", name="Try again").click()
    part(page, "Learning rate", "ready")
    somebody.complaints = [said for said in somebody.complaints if "429" not in said]  # browsers log it
