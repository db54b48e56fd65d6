"""The words of the job spec, as data."""

from functools import cache
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from api.conditional import is_known, reply_unless_known, tag_of, unchanged
from api.dependencies import READS
from api.errors import NotFound
from api.openapi import also
from api.resources import Catalog, CatalogEntry, CatalogFamily
from models import spec

router = APIRouter(tags=["catalog"], dependencies=[READS])


@router.get("/v1/catalog", response_model=Catalog, responses=also(304))
def get_catalog(request: Request) -> Response:
    """Show every technique with its parameters, bounds and defaults."""
    return reply_unless_known(request, _catalog())


@router.get("/v1/catalog/{family}", response_model=CatalogFamily, responses=also(304))
def get_catalog_family(request: Request, family: str) -> Response:
    """Show the techniques of one family."""
    return reply_unless_known(request, CatalogFamily(family=family, types=_family(family)))


@router.get("/v1/catalog/{family}/{type_}", response_model=CatalogEntry, responses=also(304))
def get_catalog_entry(request: Request, family: str, type_: str) -> Response:
    """Show one technique."""
    entry = _family(family).get(type_)
    if entry is None:
        raise NotFound
    return reply_unless_known(request, entry)


@router.get("/v1/schemas/job-spec.json", response_model=dict[str, Any], responses=also(304))
def get_job_spec_schema(request: Request) -> Response:
    """Show the JSON Schema of a job spec, for editors and form builders."""
    schema = spec.job_spec_schema()
    tag = tag_of(schema)
    if is_known(request, tag):
        return unchanged(tag)
    return JSONResponse(schema, headers={"ETag": tag, "Cache-Control": "private, no-cache"})


@cache
def _catalog() -> Catalog:
    return Catalog.model_validate({"families": spec.catalog()})


def _family(name: str) -> dict[str, CatalogEntry]:
    family = _catalog().families.get(name)
    if family is None:
        raise NotFound
    return family
