"""Shells and files, without a browser."""

import hashlib
import json
import re
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.web.files import FILES, FOLDER, VERSION
from models.spec import check, parse_spec
from models.spec.manifest import Manifest
from tests.api.conftest import Tenant
from tests.api.web.signed_in import sign_in
from tests.models.spec.manifests import WINE, images, vectors

SCREENS = {"/jobs", "/jobs/new", "/jobs/job_x", "/compare", "/datasets", "/datasets/ds_x", "/workers"}


@pytest.mark.parametrize("path", sorted(SCREENS))
def test_a_screen_is_a_shell_that_holds_nothing_inline(ours: Tenant, path: str) -> None:
    answer = sign_in(ours).get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", answer.text)


def test_a_shell_names_only_files_that_there_are(ours: Tenant, client: TestClient) -> None:
    for path in re.findall(r'(?:src|href)="(/static/[^"]+)"', sign_in(ours).get("/jobs").text):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]


def test_scripts_import_only_files_that_there_are() -> None:
    for name, content in FILES.items():
        for target in re.findall(rb'from "(\.[^"]+)"', content):
            assert (FOLDER / name).parent.joinpath(target.decode()).resolve().is_file(), (name, target)


def test_files_of_another_version_are_not_served(client: TestClient) -> None:
    assert client.get("/static/0000000000000000/style.css").status_code == 404
    assert client.get(f"/static/{VERSION}/../shell.html").status_code == 404


def test_what_is_not_ours_is_what_it_says_it_is() -> None:
    said = dict(re.findall(r"`(uPlot\S+)` \| `([0-9a-f]{64})`", (FOLDER / "vendor" / "README.md").read_text()))
    assert len(said) == 2
    assert {name: hashlib.sha256(FILES[f"vendor/{name}"]).hexdigest() for name in said} == said


def test_no_script_makes_markup_of_text() -> None:
    ways = rb"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|eval\("
    ours = {name: content for name, content in FILES.items() if not name.startswith("vendor/")}
    assert not [name for name, content in ours.items() if re.search(ways, content)]


@pytest.mark.parametrize("template", json.loads(FILES["templates.json"]), ids=lambda template: template["name"])
def test_templates_are_specs_that_run(template: dict[str, Any]) -> None:
    manifests: dict[str, Manifest] = {"image": images(size=(32, 32)), "vector": vectors(), "table": WINE}
    for kind in template["for"].split():
        spec = template["spec"] | {"dataset": {"id": "ds_x", "validation": {"fraction": 0.2}}}
        if kind == "table":
            spec["dataset"]["target"] = WINE.columns[-1].name
        assert check(parse_spec(spec), manifests[kind])[0] == []


def test_without_a_session_every_screen_leads_to_the_form_and_back(client: TestClient) -> None:
    answer = client.get("/compare?jobs=a,b", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2Fcompare%3Fjobs%3Da%2Cb")
    assert 'value="/compare?jobs=a,b"' in client.get(answer.headers["location"]).text
