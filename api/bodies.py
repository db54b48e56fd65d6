"""Reading what was sent: counted while it comes, and JSON taken strictly.

The standard library's parser accepts what no database and no other parser would: NaN, 1e999, a key twice, lone
surrogates, any depth. Here each is refused with a pointer to where it is.
"""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError

from api.dependencies import SettingsDep
from api.errors import (
    Invalid,
    MalformedRequest,
    TooLarge,
    TooSlow,
    UnsupportedMediaType,
    body_items,
    parameter_error,
    pointer,
)
from api.resources import ProblemItem

MAX_DEPTH = 64
IDLE_SECONDS = 60
"""How long a sender may say nothing before it is given up."""

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[str | int, ...]


async def pieces(request: Request, limit: int) -> AsyncIterator[bytes]:
    """The body as it comes.

    Raises:
        TooLarge: more than `limit` bytes, by its own word or by count.
        TooSlow: the sender fell silent.
    """
    if _announced(request) > limit:
        raise TooLarge(f"at most {limit:,} bytes are taken")
    size = 0
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                piece = await anext(stream, b"")
        except TimeoutError:
            raise TooSlow(f"nothing came for {IDLE_SECONDS} seconds") from None
        if not piece:
            return
        size += len(piece)
        if size > limit:
            raise TooLarge(f"at most {limit:,} bytes are taken")
        yield piece


def refuse_encoded(request: Request) -> None:
    """Limits and digests count the bytes that were sent, so they must be the bytes that are meant."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("send the body as it is, without a Content-Encoding")


async def read_json(request: Request, settings: SettingsDep) -> Any:
    """The body as JSON; see the module for what is refused."""
    _require_json(request)
    refuse_encoded(request)
    data = b"".join([piece async for piece in pieces(request, settings.spec_max_bytes)])
    return parse_json(data)


JsonBody = Annotated[Any, Depends(read_json)]


def body_of(model: type[Model]) -> Callable[..., Awaitable[Model]]:
    """A dependency: the body as a `model`."""

    async def read(body: JsonBody) -> Model:
        try:
            return model.model_validate(body)
        except ValidationError as error:
            raise Invalid(body_items(error, model.model_fields)) from None

    return read


def parse_json(data: bytes) -> Any:
    """JSON as RFC 8259 has it and I-JSON (RFC 7493) narrows it.

    Raises:
        MalformedRequest: not JSON.
        Invalid: JSON that cannot be kept: with a pointer to each place.
    """
    try:
        value = json.loads(
            data.decode(), object_pairs_hook=_object, parse_constant=lambda _: math.nan, parse_int=_whole_number
        )
    except UnicodeDecodeError as error:
        raise MalformedRequest(f"the body is not UTF-8 (byte {error.start})", code="not_json") from None
    except json.JSONDecodeError as error:
        detail = f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise MalformedRequest(detail, code="not_json") from None
    except RecursionError:
        raise Invalid([_too_deep(())]) from None
    items = [item for _, item in zip(range(100), _unfit(value, ()), strict=False)]
    if items:
        raise Invalid(items)
    return value


class _Object(dict[str, Any]):
    """An object, and the keys that were sent more than once."""

    repeated: frozenset[str] = frozenset()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = _Object(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        value.repeated = frozenset(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return value


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) <= 400 else math.inf


def _unfit(value: Any, place: Location) -> Iterator[ProblemItem]:
    if len(place) > MAX_DEPTH:
        yield _too_deep(place)
    elif isinstance(value, dict):
        for key, member in value.items():
            if isinstance(value, _Object) and key in value.repeated:
                yield _item((*place, key), "repeated_key", "this key is there more than once")
            if _is_unfit_text(key):
                yield _item(place, "text", "a key has a NUL or half a surrogate pair in it")
            yield from _unfit(member, (*place, key))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _unfit(member, (*place, index))
    elif isinstance(value, str) and _is_unfit_text(value):
        yield _item(place, "text", "text cannot have a NUL or half a surrogate pair in it")
    elif isinstance(value, float) and not math.isfinite(value):
        yield _item(place, "not_finite", "numbers must be finite: neither NaN nor infinity, nor beyond 1.8e308")


def _is_unfit_text(text: str) -> bool:
    return "\0" in text or (not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text))


def _too_deep(place: Location) -> ProblemItem:
    return _item(place, "too_deep", f"nested more than {MAX_DEPTH} deep")


def _item(place: Location, code: str, detail: str) -> ProblemItem:
    return ProblemItem(pointer=pointer(place), code=code, detail=detail)


def _announced(request: Request) -> int:
    text = request.headers.get("content-length", "0")
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise parameter_error("Content-Length", "invalid", "not a length in bytes")
    return int(text)


def _require_json(request: Request) -> None:
    kind, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    charset = parameters.replace(" ", "").replace('"', "")
    is_patch = request.method == "PATCH" or request.url.path.endswith("/fork")
    taken = {"application/json", "application/merge-patch+json"} if is_patch else {"application/json"}
    if kind.strip() not in taken or charset not in ("", "charset=utf-8"):
        raise UnsupportedMediaType(f"send {' or '.join(sorted(taken))}, in UTF-8")
