"""The way in, and what the cookie counts for."""

import pytest
from fastapi.testclient import TestClient

from tests.api.conftest import Tenant
from tests.api.web.signed_in import HERE, sign_in, ticket_of

ELSEWHERE = {"Origin": "https://evil.example"}


def test_a_key_is_exchanged_for_a_cookie_that_no_script_reads(ours: Tenant, browser: TestClient) -> None:
    key = ours.headers()["Authorization"].removeprefix("Bearer ")
    answer = browser.post("/sign-in", data={"key": key, "next": "/workers"}, headers=HERE, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/workers")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie, "this was plain http"
    assert key.split("_", 2)[2] not in cookie


def test_over_https_the_cookie_is_this_hosts_alone(ours: Tenant, browser: TestClient) -> None:
    """Behind a proxy the browser's Origin tells."""
    key = ours.headers()["Authorization"].removeprefix("Bearer ")
    headers = {"Origin": "https://testserver"}
    cookie = browser.post("/sign-in", data={"key": key}, headers=headers, follow_redirects=False).headers["set-cookie"]
    assert cookie.startswith("__Host-trainwright=")
    assert "Secure" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie


def test_the_cookie_opens_what_its_key_opens(ours: Tenant) -> None:
    job_id = ours.job()
    reader, submitter = sign_in(ours, "read"), sign_in(ours)
    assert [job["id"] for job in reader.get("/v1/jobs").json()["data"]] == [job_id]
    assert reader.post(f"/v1/jobs/{job_id}/cancel", headers=HERE).status_code == 403
    assert submitter.post(f"/v1/jobs/{job_id}/cancel", headers=HERE).status_code == 202
    assert submitter.get("/v1/api-keys").status_code == 403


@pytest.mark.parametrize(
    "headers",
    [ELSEWHERE, {"Origin": "null"}, {"Origin": "http://testserver:81"}, {"Sec-Fetch-Site": "cross-site"},
     {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "cross-site", **HERE}],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_from_another_site_the_cookie_counts_for_nothing(ours: Tenant, method: str, headers: dict[str, str]) -> None:
    job_id = ours.job()
    path = f"/v1/jobs/{job_id}/cancel" if method == "POST" else f"/v1/datasets/{ours.dataset()}"
    path += "/content" if method == "PUT" else ""
    path = f"/v1/jobs/{job_id}" if method == "PATCH" else path
    assert sign_in(ours).request(method, path, headers=headers).status_code == 401


def test_what_changes_things_must_say_where_it_comes_from(ours: Tenant) -> None:
    assert sign_in(ours).post(f"/v1/jobs/{ours.job()}/cancel").status_code == 401


def test_a_key_that_is_none_is_refused_and_not_shown(browser: TestClient) -> None:
    answer = browser.post("/sign-in", data={"key": "tw_<script>", "next": "//evil.example"}, headers=HERE)
    assert answer.status_code == 403
    assert "unknown or revoked" in answer.text
    assert "<script>" not in answer.text.partition("theme.js")[2].partition("</script>")[2]
    assert "evil" not in answer.text


@pytest.mark.parametrize("place", ["//evil.example", "/\\evil.example", "https://evil.example", "jobs", "/a\nb", ""])
def test_only_our_own_screens_are_gone_to(ours: Tenant, browser: TestClient, place: str) -> None:
    key = ours.headers()["Authorization"].removeprefix("Bearer ")
    answer = browser.post("/sign-in", data={"key": key, "next": place}, headers=HERE, follow_redirects=False)
    assert answer.headers["location"] == "/jobs"


def test_another_sites_form_signs_nobody_in(ours: Tenant, browser: TestClient) -> None:
    key = ours.headers()["Authorization"].removeprefix("Bearer ")
    answer = browser.post("/sign-in", data={"key": key}, headers=ELSEWHERE)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_a_link_signs_in_once(ours: Tenant) -> None:
    ticket = ticket_of(ours)
    first, second = TestClient(ours.world.client.app), TestClient(ours.world.client.app)
    assert first.get(f"/sign-in?ticket={ticket}", follow_redirects=False).status_code == 303
    assert first.get("/v1/jobs").status_code == 200
    assert "used before" in second.get(f"/sign-in?ticket={ticket}").text
    assert second.get("/v1/jobs").status_code == 401


def test_who_signs_out_is_out_everywhere_the_cookie_is(ours: Tenant) -> None:
    browser = sign_in(ours)
    copied = dict(browser.cookies)
    assert browser.post("/sign-out", headers=HERE, follow_redirects=False).status_code == 303
    browser.cookies.update(copied)
    assert browser.get("/v1/jobs").status_code == 401


def test_a_key_that_is_revoked_signs_its_browsers_out(ours: Tenant) -> None:
    browser = sign_in(ours)
    for key in ours.admin.get("/v1/api-keys").json()["data"]:
        ours.admin.delete(f"/v1/api-keys/{key['id']}")
    assert browser.get("/v1/jobs").status_code == 401
    assert browser.get("/jobs", follow_redirects=False).status_code == 303
