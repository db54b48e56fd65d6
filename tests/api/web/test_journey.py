"""What a person comes for, from the key to the weights, without one reload."""

import hashlib
import json
import re
import time
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from tests.api.web.conftest import HOSTILE, Site, Visit, digits_spec
from tests.service import DIGITS

pytestmark = pytest.mark.xdist_group("browser")


STREAMS = """
    window.streams = new Set();
    const Real = EventSource;
    window.EventSource = class extends Real {
      constructor(...given) { super(...given); window.streams.add(this); }
    };
    window.openStreams = () => [...window.streams].filter((stream) => stream.readyState !== 2).length;
    let hidden = false;
    Object.defineProperty(document, "hidden", { get: () => hidden });
    window.hide = (now) => { hidden = now; document.dispatchEvent(new Event("visibilitychange")); };
"""


def test_from_a_key_to_the_weights(visit: Visit, site: Site, tmp_path: Path) -> None:
    page = visit(None).open("/datasets")
    page.get_by_label("API key").fill(site.key())
    page.get_by_role("button", name="Sign in").click()

    page.get_by_label("File").set_input_files(DIGITS)
    page.get_by_label("Name").fill(f"digits {HOSTILE}")
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url("**/datasets/ds_*")
    expect(page.get_by_text("ready", exact=True)).to_be_visible(timeout=60_000)
    expect(page.get_by_text("1,797 images of 8×8 in 10 classes")).to_be_visible()

    page.get_by_role("link", name="Train on it").click()
    expect(page.get_by_role("heading", name="Ready to train")).to_be_visible()
    shorten(page)
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url("**/jobs/job_*")

    page.evaluate("window.stayed = true")
    expect(page.locator(".chip", has_text="succeeded")).to_be_visible(timeout=120_000)
    loss = page.get_by_role("figure").filter(has=page.get_by_role("heading", name="Loss", exact=True))
    expect(loss).to_have_attribute("data-points", "46")
    expect(page.get_by_text("Trained to the end (completed)")).to_be_visible()
    expect(page.locator(".badge", has_text="best")).to_be_visible()
    assert page.evaluate("window.stayed"), "it came by itself"

    row = page.get_by_role("region", name="Checkpoints").get_by_role("row").filter(has_text="best")
    with page.expect_download() as download:
        row.get_by_role("link", name="Download").click()
    download.value.save_as(tmp_path / "weights")
    digest = row.locator("code").get_attribute("title")
    assert hashlib.sha256((tmp_path / "weights").read_bytes()).hexdigest() == digest


def shorten(page: Page) -> None:
    """A run of two epochs, written with the editor."""
    editor = page.get_by_role("textbox", name="Job spec")
    spec = json.loads(editor.input_value())
    spec["network"], spec["training"] = {"type": "mlp", "hidden": [32]}, {"epochs": 2, "batch_size": 64}
    editor.fill(json.dumps(spec, indent=2))


def test_mistakes_are_marked_where_they_stand_and_mended_by_a_button(visit: Visit, site: Site) -> None:
    page = visit().open("/jobs/new")
    editor = page.get_by_role("textbox", name="Job spec")
    wrong = digits_spec(site.dataset_id, "wrong") | {"netwrk": {"type": "mlp"}, "loss": {"type": "cros_entropy"}}
    wrong["training"] |= {"epohcs": 2}
    del wrong["network"], wrong["training"]["epochs"]
    editor.fill(json.dumps(wrong, indent=2))
    expect(page.get_by_role("heading", name="3 mistakes")).to_be_visible()
    expect(page.locator(".remarks .error")).to_have_count(3)
    marks = ['"epohcs"', '"netwrk"', '"cros_entropy"']
    expect(page.locator("pre .mark.error")).to_have_text(marks)
    expect(page.get_by_role("button", name="Start training")).to_be_disabled()
    page.get_by_role("button", name="Use network").click()
    page.get_by_role("button", name="Use cross_entropy").click()
    page.get_by_role("button", name="Use epochs").click()
    expect(page.get_by_role("heading", name="Ready to train")).to_be_visible()
    assert json.loads(editor.input_value())["network"] == {"type": "mlp"}


def test_what_may_come_next_is_offered(visit: Visit, site: Site) -> None:
    page = visit().open("/jobs/new")
    editor = page.get_by_role("textbox", name="Job spec")
    editor.fill('{"optimizer": {"type": "sgd", }}')
    editor.evaluate("(area) => area.setSelectionRange(30, 30)")
    editor.press("Control+ ")
    offers = page.get_by_role("listbox", name="Suggestions")
    expect(offers.get_by_role("option", name="momentum", exact=False).first).to_be_visible()
    page.keyboard.type('"mom')
    expect(offers.get_by_role("option")).to_have_count(1)
    page.keyboard.press("Enter")
    assert json.loads(editor.input_value()) == {"optimizer": {"type": "sgd", "momentum": 0}}


def test_quotes_and_brackets_come_in_pairs(visit: Visit) -> None:
    editor = visit().open("/jobs/new").get_by_role("textbox", name="Job spec")
    editor.fill("")
    editor.press_sequentially('{"seed": 1, "name": "a {b} \\"c"}')
    assert json.loads(editor.input_value()) == {"seed": 1, "name": 'a {b} "c'}


@pytest.mark.parametrize(
    "text", ['{"a": 1', '{"a" 1}', "{'a': 1}", '{"a": [1,, 2]}', '{"a": 1,}', "", '{"a": tru}', "[}", '"']
)
def test_what_is_not_json_yet_is_said_so_and_does_not_stop_the_editor(visit: Visit, text: str) -> None:
    page = visit().open("/jobs/new")
    page.get_by_role("textbox", name="Job spec").fill(text)
    expect(page.get_by_role("heading", name="Not JSON yet")).to_be_visible()
    expect(page.get_by_text(re.compile(r"^Line \d+: "))).to_be_visible()


def test_a_verdict_on_a_text_that_is_gone_is_not_heard(visit: Visit) -> None:
    page = visit().open("/jobs/new")
    expect(page.get_by_role("heading", name="Ready to train")).to_be_visible()
    held: list[Route] = []

    def hold(check: Route) -> None:
        held.append(check)

    page.route("**/v1/jobs/validate", hold)
    editor = page.get_by_role("textbox", name="Job spec")
    with page.expect_request("**/v1/jobs/validate"):
        editor.fill(f"{editor.input_value()} ")
    editor.fill('"')
    held[0].continue_()
    expect(page.get_by_role("heading", name="Not JSON yet")).to_be_visible()
    page.wait_for_timeout(1000)
    expect(page.get_by_role("button", name="Start training")).to_be_disabled()


def test_a_job_is_cancelled_after_a_question(visit: Visit, site: Site) -> None:
    job_id = site.service.submit(digits_spec(site.dataset_id, "long", epochs=500))
    page = visit().open(f"/jobs/{job_id}")
    expect(page.locator(".chip", has_text="running")).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Keep it").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the job").click()
    expect(page.locator(".chip", has_text="cancelled")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("A cancel was asked for", exact=True)).to_be_visible()
    expect(page.locator(".lead")).not_to_contain_text("stopping")


def test_a_job_is_paused_goes_on_is_cancelled_and_tried_again(visit: Visit, site: Site) -> None:
    job_id = site.service.submit(digits_spec(site.dataset_id, "long", epochs=500))
    page = visit().open(f"/jobs/{job_id}")
    expect(page.locator(".chip", has_text="running")).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".chip", has_text="paused")).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".chip", has_text="running")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("heading", name="Attempt 2")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the job").click()
    page.get_by_role("button", name="Try again").click(timeout=60_000)
    expect(page.get_by_role("heading", name="Attempt 3")).to_be_visible(timeout=60_000)
    site.service.http.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
    page.get_by_role("button", name="Delete").click(timeout=60_000)
    page.get_by_role("button", name="Delete the job").click()
    page.wait_for_url("**/jobs")
    assert site.service.http.get(f"/v1/jobs/{job_id}").status_code == 404


def test_a_hidden_tab_keeps_no_stream_open(visit: Visit, site: Site) -> None:
    job_id = site.service.submit(digits_spec(site.dataset_id, "long", epochs=500))
    somebody = visit()
    somebody.page.add_init_script(STREAMS)
    page = somebody.open(f"/jobs/{job_id}")
    wait_for_streams(page, 1)
    page.evaluate("hide(true)")
    assert page.evaluate("openStreams()") == 0
    page.evaluate("hide(false)")
    assert page.evaluate("openStreams()") == 1
    site.service.http.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
    expect(page.locator(".chip", has_text="cancelled")).to_be_visible(timeout=60_000)
    wait_for_streams(page, 0)


def wait_for_streams(page: Page, wanted: int) -> None:
    """Asked from here: what a page is to ask itself again and again is evaluated in it, which ours forbids."""
    deadline = time.monotonic() + 30
    while (found := page.evaluate("openStreams()")) != wanted:
        assert time.monotonic() < deadline, found
        page.wait_for_timeout(20)


def test_a_list_of_jobs_shows_what_comes_and_ends_by_itself(visit: Visit, site: Site) -> None:
    page = visit().open("/jobs")
    page.evaluate("window.stayed = true")
    job_id = site.service.submit(digits_spec(site.dataset_id, "newcomer"))
    row = page.locator(f"tr[data-job={job_id}]")
    expect(row).to_be_visible(timeout=30_000)
    expect(row).to_contain_text("succeeded", timeout=60_000)
    expect(row).to_contain_text("%")
    assert page.evaluate("window.stayed")


def test_two_runs_side_by_side(visit: Visit, site: Site) -> None:
    page = visit().open("/jobs")
    for job_id in site.jobs:
        page.locator(f"tr[data-job={job_id}]").get_by_role("checkbox").check()
    page.get_by_role("link", name="Compare 2").click()
    differing = page.get_by_role("region", name="Differences of the specs")
    expect(differing.get_by_role("row").filter(has_text="/initialization/type")).to_contain_text('"xavier_normal"')
    expect(differing).not_to_contain_text("/network")
    loss = page.get_by_role("figure").filter(has=page.get_by_role("heading", name="Loss, validation"))
    expect(loss).to_have_attribute("data-curves", "2")


def test_an_upload_that_cannot_be_read_says_why(visit: Visit, tmp_path: Path) -> None:
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 not really")
    page = visit().open("/datasets")
    page.get_by_label("File").set_input_files(tmp_path / "broken.npz")
    page.get_by_role("button", name="Upload").click()
    expect(page.locator(".chip", has_text="failed")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("alert")).to_be_visible()


def uploaded(page: Page, file: Path) -> Page:
    """Where the data set is shown, once it is ready."""
    page.get_by_label("File").set_input_files(file)
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url("**/datasets/ds_*")
    expect(page.locator(".lead .chip", has_text="ready")).to_be_visible(timeout=60_000)
    return page


def test_what_was_refused_of_an_upload_is_told(visit: Visit, tmp_path: Path) -> None:
    picture = BytesIO()
    Image.new("RGB", (8, 8), "red").save(picture, "png")
    with ZipFile(tmp_path / "shapes.zip", "w") as archive:
        for number in range(15):
            archive.writestr(f"train/{HOSTILE.replace('/', '')}/{number}.png", picture.getvalue())
            archive.writestr(f"train/square/{number}.png", picture.getvalue())
        archive.writestr("train/square/broken.png", b"not a picture")
    page = uploaded(visit().open("/datasets"), tmp_path / "shapes.zip")
    expect(page.get_by_role("region", name="Refused entries")).to_contain_text("broken.png")
    expect(page.get_by_role("region", name="Classes of train")).to_contain_text(HOSTILE)


def test_the_columns_of_a_table_are_shown(visit: Visit, tmp_path: Path) -> None:
    rows = "\n".join(f"{number},{'red' if number % 2 else 'blue'},{number % 3}" for number in range(60))
    (tmp_path / "colors.csv").write_text(f"size,color,quality\n{rows}\n")
    page = uploaded(visit().open("/datasets"), tmp_path / "colors.csv")
    columns = page.get_by_role("region", name="Columns")
    expect(columns.get_by_role("row").filter(has_text="color")).to_contain_text("2 categories: blue, red")
    expect(columns.get_by_role("row").filter(has_text="size")).to_contain_text("0 to 59")
    page.get_by_role("link", name="Train on it").click()
    expect(page.get_by_role("heading", name="Ready to train")).to_be_visible()


def test_an_earlier_job_is_a_start_for_the_next(visit: Visit, site: Site) -> None:
    page = visit().open(f"/jobs/{site.jobs[1]}")
    page.get_by_role("link", name="New job from this").click()
    editor = page.get_by_role("textbox", name="Job spec")
    expect(editor).to_have_value(re.compile('"name": "Xavier, again"'))
    expect(page.get_by_role("heading", name="Ready to train")).to_be_visible()


def test_what_was_written_while_it_trained_can_be_read(visit: Visit, site: Site) -> None:
    page = visit().open(f"/jobs/{site.jobs[0]}")
    page.get_by_text("Log", exact=True).last.click()
    expect(page.get_by_role("region", name="Log").get_by_role("listitem")).not_to_have_count(0)
