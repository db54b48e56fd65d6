"""Errors, and the one place that turns them into answers: `application/problem+json`, with a pointer to each mistake.

What was sent is never echoed: only where the mistake is, what is wrong and what is allowed.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.routing import Match

from api.resources import Problem, ProblemItem, SdkError
from models import storage
from models.database import COLLISIONS, OUTAGES
from models.idempotency import InFlight, KeyReused
from models.spec import SpecError, SpecInvalid

log = structlog.get_logger()
LONGEST_POINTER = 1000
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class ApiError(Exception):
    """A request that cannot be served, and why."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    code = "internal"
    headers: Mapping[str, str] = {}

    def __init__(self, detail: str, *, code: str | None = None, errors: Sequence[ProblemItem] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.code
        self.errors = tuple(errors)


class MalformedRequest(ApiError):
    status = HTTPStatus.BAD_REQUEST
    code = "malformed_request"


class Unauthenticated(ApiError):
    status = HTTPStatus.UNAUTHORIZED
    code = "unauthenticated"
    headers = {"WWW-Authenticate": "Bearer"}  # noqa: RUF012


class Forbidden(ApiError):
    status = HTTPStatus.FORBIDDEN
    code = "forbidden"


class NotFound(ApiError):
    """Not there, or somebody else's: the two look the same."""

    status = HTTPStatus.NOT_FOUND
    code = "not_found"

    def __init__(self, detail: str = "there is nothing here of that name") -> None:
        super().__init__(detail)


class TooSlow(ApiError):
    status = HTTPStatus.REQUEST_TIMEOUT
    code = "request_timeout"
    headers = {"Connection": "close"}  # noqa: RUF012


class Conflict(ApiError):
    """What is asked does not fit the state of things; asking again will not help."""

    status = HTTPStatus.CONFLICT
    code = "conflict"
    headers = {"X-Should-Retry": "false"}  # noqa: RUF012


class InFlightConflict(ApiError):
    """The one conflict that passes by itself."""

    status = HTTPStatus.CONFLICT
    code = "in_flight"
    headers = {"X-Should-Retry": "true", "Retry-After": "1"}  # noqa: RUF012


class PreconditionFailed(ApiError):
    status = HTTPStatus.PRECONDITION_FAILED
    code = "precondition_failed"


class TooLarge(ApiError):
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    code = "too_large"
    headers = {"Connection": "close"}  # noqa: RUF012


class UnsupportedMediaType(ApiError):
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    code = "unsupported_media_type"


class Invalid(ApiError):
    """Understood, and refused: each mistake is an item."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "invalid"

    def __init__(self, errors: Sequence[ProblemItem]) -> None:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(f"{_place(errors[0])}{errors[0].detail}{more}", errors=errors)


class TooManyJobs(ApiError):
    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "too_many_jobs"
    headers = {"Retry-After": "30"}  # noqa: RUF012


class TooManyPreviews(ApiError):
    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "too_many_previews"
    headers = {"Retry-After": "5"}  # noqa: RUF012


class TooManyRequests(ApiError):
    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "too_many_requests"

    def __init__(self, seconds: int) -> None:
        super().__init__("this key has made as many requests as it may for now")
        self.headers = {"Retry-After": str(seconds)}


class Unavailable(ApiError):
    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "unavailable"
    headers = {"Retry-After": "2"}  # noqa: RUF012


class StorageFull(ApiError):
    status = HTTPStatus.INSUFFICIENT_STORAGE
    code = "storage_full"


def install(app: FastAPI) -> None:
    """Make `app` answer every error in this form."""
    app.add_exception_handler(ApiError, _answer)
    app.add_exception_handler(SpecInvalid, _answer)
    app.add_exception_handler(RequestValidationError, _answer)
    app.add_exception_handler(HTTPException, _answer)
    app.add_exception_handler(KeyReused, _answer)
    app.add_exception_handler(InFlight, _answer)
    for kind in (*OUTAGES, *COLLISIONS, *storage.OUTAGES):
        app.add_exception_handler(kind, _answer)


async def _answer(request: Request, error: Exception) -> Response:
    answer = as_api_error(error)
    if answer.status is HTTPStatus.METHOD_NOT_ALLOWED:
        answer.headers = {"Allow": _methods_of(request)}
    return problem(answer, request.scope.get("state", {}).get("request_id"))


def _methods_of(request: Request) -> str:
    """Of all routes that have the path, where the framework names those of the first one."""
    taken = [
        method
        for method in METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    ]
    return ", ".join(taken)


def as_api_error(error: Exception) -> ApiError:
    """The error as the caller should see it. What is no mistake of the caller's says nothing about the inside."""
    match error:
        case ApiError():
            return error
        case SpecInvalid():
            return Invalid([spec_item(item) for item in error.errors])
        case RequestValidationError():
            return _parameter_error(error.errors())
        case HTTPException(status_code=404):
            return NotFound()
        case HTTPException():
            return _http_error(error)
        case KeyReused():
            detail = "this Idempotency-Key was used before, with another request"
            return Invalid([ProblemItem(parameter="Idempotency-Key", code="idempotency_key_reused", detail=detail)])
        case InFlight():
            return InFlightConflict("the first request with this Idempotency-Key is still in flight")
        case _ if isinstance(error, COLLISIONS):
            return Conflict("somebody else changed the same thing at the same moment: look, then decide")
        case _ if isinstance(error, OUTAGES):
            log.warning("database_away", error=type(error).__name__, cause=type(error.__cause__).__name__)
            return Unavailable("the database does not answer: nothing was changed, try again")
        case _ if isinstance(error, storage.OUTAGES):
            log.warning("storage_away", error=type(error).__name__)
            return Unavailable("the object store does not answer: try again")
    return ApiError("something went wrong on our side; the request id finds it in the log")


def problem(error: ApiError, request_id: str | None) -> Response:
    """The answer to an error."""
    parameters = [item.pointer if item.parameter is None else item.parameter for item in error.errors]
    kind = _sdk_type(error.status)
    body = Problem(
        type=f"urn:trainwright:problem:{error.code}",
        title=error.status.phrase,
        status=error.status,
        detail=error.detail,
        request_id=request_id,
        errors=list(error.errors),
        error=SdkError(
            message=error.detail, type=kind, param=next(iter(parameters), None),
            code=error.errors[0].code if error.errors else error.code,
        ),
    )  # fmt: skip
    return Response(
        body.model_dump_json(exclude_none=True),
        status_code=error.status,
        headers=dict(error.headers),
        media_type="application/problem+json",
    )


def parameter_error(parameter: str, code: str, detail: str) -> Invalid:
    return Invalid([ProblemItem(parameter=parameter, code=code, detail=detail)])


def spec_item(error: SpecError) -> ProblemItem:
    return ProblemItem(
        pointer=error.pointer[:LONGEST_POINTER],
        code=error.code,
        detail=error.detail,
        allowed=error.allowed,
        suggestion=error.suggestion,
    )


def body_items(error: ValidationError, known: Iterable[str]) -> list[ProblemItem]:
    """The mistakes of a small body. A misspelt key is one mistake, not a missing key and an unknown one."""
    details = error.errors(include_url=False, include_input=False, include_context=False)
    missing = {str(detail["loc"][0]) for detail in details if detail["type"] == "missing"}
    items, explained = [], set()
    for detail in details:
        if detail["type"] != "extra_forbidden":
            continue
        name = str(detail["loc"][0])
        suggestion = next(iter(difflib.get_close_matches(name, missing or list(known), n=1)), None)
        explained.add(suggestion)
        hint = "" if suggestion is None else f": did you mean {suggestion}?"
        items.append(
            ProblemItem(
                pointer=pointer(detail["loc"]),
                code="unknown_key",
                detail=f"this key is not known{hint}",
                allowed=sorted(known),
                suggestion=suggestion,
            )
        )
    others = [detail for detail in details if detail["type"] != "extra_forbidden"]
    items += [
        ProblemItem(pointer=pointer(detail["loc"]), code=detail["type"], detail=detail["msg"])
        for detail in others
        if not (detail["type"] == "missing" and detail["loc"][0] in explained)
    ]
    return items


def pointer(location: Sequence[str | int]) -> str:
    """A JSON pointer (RFC 6901). A key that is no text at all (a lone surrogate) cannot be named: then its parent."""
    path = ""
    for part in location:
        if part == "[key]":  # pydantic's word for a name that is wrong: the name itself came before
            break
        token = str(part).replace("~", "~0").replace("/", "~1")
        if not token.isascii() and any("\ud800" <= character <= "\udfff" for character in token):
            break
        path += f"/{token}"
    return path[:LONGEST_POINTER]


def _parameter_error(details: Sequence[Any]) -> ApiError:
    found: list[ErrorDetails] = list(details)
    if any(detail["loc"][0] == "path" for detail in found):
        return NotFound()
    return Invalid(
        [
            ProblemItem(parameter=str(detail["loc"][1]), code=detail["type"], detail=detail["msg"])
            for detail in found
        ]
    )  # fmt: skip


def _http_error(error: HTTPException) -> ApiError:
    status = HTTPStatus(error.status_code)
    answer = ApiError(str(error.detail), code=status.name.lower())
    answer.status = status
    answer.headers = error.headers or {}
    return answer


def _place(item: ProblemItem) -> str:
    place = item.pointer or item.parameter
    return "" if not place else f"{place}: "


def _sdk_type(status: HTTPStatus) -> str:
    match status:
        case HTTPStatus.UNAUTHORIZED:
            return "authentication_error"
        case HTTPStatus.FORBIDDEN:
            return "permission_error"
        case HTTPStatus.NOT_FOUND:
            return "not_found_error"
        case HTTPStatus.CONFLICT:
            return "conflict_error"
        case HTTPStatus.TOO_MANY_REQUESTS:
            return "rate_limit_error"
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return "api_error"
    return "invalid_request_error"
