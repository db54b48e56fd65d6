"""Conditional requests (RFC 9110): entity tags, and answers that say only that nothing changed."""

import hashlib
from collections.abc import Mapping

from fastapi import Request, Response
from pydantic import BaseModel

Headers = Mapping[str, str]


def tag_of(*parts: object) -> str:
    """A strong entity tag for a representation that is determined by `parts`."""
    return _quoted(repr(parts).encode())


def tag_of_body(body: BaseModel) -> str:
    return _quoted(body.model_dump_json().encode())


def names(header: str | None, tag: str) -> bool:
    """Whether an If-None-Match or If-Match names this tag."""
    return header is not None and any(name.strip().removeprefix("W/") in ("*", tag) for name in header.split(","))


def is_known(request: Request, tag: str) -> bool:
    """Whether the caller has this representation already."""
    return names(request.headers.get("if-none-match"), tag)


def waits_for_more(request: Request, body: BaseModel) -> bool:
    """Whether someone who asks to wait for a change has seen this already, or does not say what was seen."""
    return "if-none-match" not in request.headers or is_known(request, tag_of_body(body))


def reply(body: BaseModel, status: int = 200, headers: Headers | None = None) -> Response:
    """A body as JSON."""
    return Response(body.model_dump_json(), status, dict(headers or {}), "application/json")


def come_again(ended: bool) -> dict[str, str]:
    """When to ask again for what changes until it has ended."""
    return {} if ended else {"Retry-After": "1"}


def reply_unless_known(
    request: Request, body: BaseModel, *, tag: str | None = None, headers: Headers | None = None
) -> Response:
    """The body with its tag, or 304 when the caller has it already."""
    tag = tag or tag_of_body(body)
    if is_known(request, tag):
        return unchanged(tag, headers)
    return reply(body, headers=_tagged(tag, headers))


def unchanged(tag: str, headers: Headers | None = None) -> Response:
    return Response(status_code=304, headers=_tagged(tag, headers))


def _tagged(tag: str, headers: Headers | None) -> dict[str, str]:
    return {"ETag": tag, "Cache-Control": "private, no-cache", **(headers or {})}


def _quoted(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'
