"""Whether the service is there and whole, and what it is."""

from collections.abc import Callable

import structlog
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from api import VERSION
from api.conditional import is_known, reply, tag_of, unchanged
from api.dependencies import ServicesDep, public
from api.openapi import also
from api.resources import Health, Readiness, Version

router = APIRouter(tags=["service"], dependencies=[Depends(public)])
log = structlog.get_logger()


@router.get("/healthz", response_model=Health)
async def get_health() -> Response:
    """Say that the process answers."""
    return reply(Health())


@router.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness, "description": "Not ready"}})
def get_readiness(services: ServicesDep) -> Response:
    """Say whether requests can be served, and which part is broken."""
    parts = {
        "database": _state(services.database.check),
        "storage": _state(services.storage.check),
        "broker": _state(services.ringer.check),
    }
    is_ready = parts["database"] == parts["storage"] == "ok"
    body = Readiness(status="ready" if is_ready else "unready", parts=parts)
    return reply(body) if is_ready else reply(body, 503, {"Retry-After": "2"})


@router.get("/version", response_model=Version)
async def get_version() -> Response:
    """Say which version this is."""
    return reply(Version(version=VERSION))


@router.get("/openapi.json", response_model=dict[str, object], responses=also(304))
def get_openapi(request: Request) -> Response:
    """Describe this API in OpenAPI 3.1."""
    document = request.app.openapi()
    tag = tag_of(document)
    return unchanged(tag) if is_known(request, tag) else JSONResponse(document, headers={"ETag": tag})


def _state(check: Callable[[], None]) -> str:
    """Only the kind of the error: its text may name hosts and users."""
    try:
        check()
    except Exception as error:  # noqa: BLE001  (whatever it is, it stands in the way)
        log.warning("not_ready", error=type(error).__name__)
        return f"cannot be used ({type(error).__name__})"
    return "ok"
