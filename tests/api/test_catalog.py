"""The words of the spec, as data."""

import pytest

from models.spec import catalog, job_spec_schema
from tests.api.conftest import Tenant


def test_the_catalogue_is_that_of_the_spec(ours: Tenant) -> None:
    assert ours.reader.get("/v1/catalog").json()["families"] == catalog()


def test_a_family_and_a_technique_have_places_of_their_own(ours: Tenant) -> None:
    family = ours.reader.get("/v1/catalog/clipping").json()
    assert family["types"]["global_norm"] == ours.reader.get("/v1/catalog/clipping/global_norm").json()


@pytest.mark.parametrize("path", ["/v1/catalog/clippin", "/v1/catalog/clipping/global", "/v1/catalog/%00"])
def test_what_is_not_in_it_is_not_there(ours: Tenant, path: str) -> None:
    assert ours.reader.get(path).status_code == 404


def test_the_schema_is_that_of_the_spec(ours: Tenant) -> None:
    assert ours.reader.get("/v1/schemas/job-spec.json").json() == job_spec_schema()


@pytest.mark.parametrize("path", ["/v1/catalog", "/v1/catalog/clipping", "/v1/schemas/job-spec.json"])
def test_it_is_sent_once(ours: Tenant, path: str) -> None:
    tag = ours.reader.get(path).headers["etag"]
    assert ours.reader.get(path, headers={"If-None-Match": tag}).status_code == 304
