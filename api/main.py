"""The application: `uvicorn --factory api.main:create_app`."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from fastapi import FastAPI

from api import VERSION, errors, openapi
from api.dependencies import Services, require_scopes
from api.envelope import Envelope
from api.rates import Rates
from api.ringing import Ringer
from api.routes import (
    bundles,
    catalog,
    checkpoints,
    compare,
    datasets,
    events,
    health,
    jobs,
    logs,
    metrics,
    previews,
    projects,
    steering,
    uploads,
    workers,
)
from api.threads import few_threads
from api.web import pages, signing_in
from models.database import Database
from models.logs import configure_logging
from models.queue import Bell
from models.settings import Settings
from models.storage import open_storage

ROUTERS = tuple(
    module.router
    for module in (
        jobs,
        compare,
        steering,
        previews,
        bundles,
        events,
        logs,
        metrics,
        checkpoints,
        datasets,
        uploads,
        catalog,
        workers,
        projects,
        health,
    )
)


PAGE_ROUTERS = (pages.router, signing_in.router)


class Application(FastAPI):
    """FastAPI, with the description of the API finished."""

    def openapi(self) -> dict[str, Any]:
        if not self.openapi_schema:
            self.openapi_schema = openapi.describe(self, ROUTERS)
        return self.openapi_schema


def create_app(settings: Settings | None = None) -> FastAPI:
    """The web process. Without settings, those of the environment."""
    if not structlog.is_configured():  # by whoever runs us in their own process
        configure_logging()
    settings = settings or Settings()
    app = Application(
        title="Trainwright",
        version=VERSION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_life,
        generate_unique_id_function=openapi.operation_id,
    )
    app.state.services = Services(
        settings, Database(settings), open_storage(settings), Ringer(Bell(settings)), Rates(settings)
    )
    for router in (*ROUTERS, *PAGE_ROUTERS):
        require_scopes(router)
        app.include_router(router)
    errors.install(app)
    app.add_middleware(Envelope, allowed_hosts=settings.allowed_hosts)
    return app


@asynccontextmanager
async def _life(app: FastAPI) -> AsyncIterator[None]:
    gc.collect()
    gc.freeze()  # what is there now stays: not looked through again by every collection
    gc.set_threshold(20_000, 50, 100)
    async with few_threads():
        yield
    services: Services = app.state.services
    services.ringer.close()
    services.database.close()
