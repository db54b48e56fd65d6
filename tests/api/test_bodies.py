"""What is not JSON, or is and should not be, is refused before anything looks at it."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.bodies import parse_json
from api.errors import ApiError, Invalid, MalformedRequest
from tests.api.conftest import Tenant


@pytest.mark.parametrize(
    ("text", "pointer", "code"),
    [
        (b'{"a": NaN}', "/a", "not_finite"),
        (b'{"a": [1, -Infinity]}', "/a/1", "not_finite"),
        (b'{"a": 1e999}', "/a", "not_finite"),
        (b'{"a": ' + b"9" * 5000 + b"}", "/a", "not_finite"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "/b/c", "repeated_key"),
        (b'{"a": "x\\u0000"}', "/a", "text"),
        (b'{"a": ["\\ud800"]}', "/a/0", "text"),
        (b'{"a": {"\\ud800": 1}}', "/a", "text"),
        (b'{"a/b": {"~": "\\u0000"}}', "/a~1b/~0", "text"),
        (b'{"a":' + b"[" * 70 + b"]" * 70 + b"}", "/a" + "/0" * 64, "too_deep"),
        (b"[" * 100_000 + b"]" * 100_000, "", "too_deep"),
    ],
)
def test_json_that_cannot_be_kept_is_refused_where_it_is(text: bytes, pointer: str, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_json(text)
    assert [(item.pointer, item.code) for item in refused.value.errors] == [(pointer, code)]


@pytest.mark.parametrize(
    "text", [b"", b"{", b"{'a': 1}", b'{"a": 1,}', b'"\xff"', b"\xef\xbb\xbf{}", b'"\x01"', b"nan"]
)
def test_what_is_not_json_is_malformed(text: bytes) -> None:
    with pytest.raises(MalformedRequest):
        parse_json(text)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_json_or_an_error_of_ours(data: bytes) -> None:
    try:
        value = parse_json(data)
    except ApiError:
        return
    assert json.loads(data) == value


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("headers", "content", "status", "code"),
    [
        (JSON, b"{not json", 400, "not_json"),
        (JSON, b'{"seed": NaN}', 422, "not_finite"),
        ({"Content-Type": "text/plain"}, b"{}", 415, "unsupported_media_type"),
        ({}, b"{}", 415, "unsupported_media_type"),
        (JSON | {"Content-Encoding": "gzip"}, b"{}", 415, "unsupported_media_type"),
        (JSON, b" " * 20_001, 413, "too_large"),
        (JSON, b'"\\ud800"', 422, "text"),
        (JSON, b"[]", 422, "model_type"),
        (JSON, b"null", 422, "model_type"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/validate", "/v1/datasets"])
def test_every_body_is_read_strictly(
    ours: Tenant, path: str, headers: dict[str, str], content: bytes, status: int, code: str
) -> None:
    answer = ours.submitter.post(path, headers=headers, content=content)
    if code == "model_type" and path != "/v1/datasets":
        assert answer.status_code in (200, 422)
        return
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_a_body_is_counted_while_it_comes(ours: Tenant) -> None:
    answer = ours.submitter.post("/v1/jobs", headers=JSON, content=iter([b" " * 5000] * 5))
    assert answer.status_code == 413


def test_a_misspelt_key_is_one_mistake(ours: Tenant) -> None:
    answer = ours.submitter.post("/v1/datasets", json={"nmae": "x"})
    assert [(item["pointer"], item["code"], item["suggestion"]) for item in answer.json()["errors"]] == [
        ("/nmae", "unknown_key", "name")
    ]
