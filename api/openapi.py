"""The description of the API, finished: bodies that are parsed by hand, every error that can come, an example of
everything."""

from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel

from api import VERSION
from api.dependencies import READ, scopes_of
from api.idempotent import once, once_without_body
from api.resources import (
    CompleteUpload,
    CreateApiKey,
    CreateDataset,
    CreateJob,
    CreateProject,
    EditJob,
    EditProject,
    ForkJob,
    Problem,
    RotateApiKey,
    SignPart,
)
from models.spec import job_spec_schema

Json = dict[str, Any]
REF = "#/components/schemas/"
DESCRIPTION = """Trains PyTorch networks from a JSON spec.

Errors are `application/problem+json` (RFC 9457) with a pointer to each mistake. Lists are pages: go on with
`after=<last_id>`. Every answer has an `X-Request-Id`. Send an `Idempotency-Key` with a POST and it is done once,
however often it is sent.
"""
REASONS = {
    304: "Unchanged since the representation that `If-None-Match` names",
    400: "The request is malformed: not JSON, a host that is not served, a digest that is wrong",
    401: "No API key, or none that is alive",
    403: "The key does not allow this",
    404: "Not there, or not yours",
    408: "The body came too slowly",
    409: "It does not fit the state of things; asking again does not help",
    412: "A precondition does not hold",
    413: "The body is too large",
    415: "Not the media type that is taken",
    416: "Nothing lies in that range",
    422: "Mistakes in what was sent, each with its place",
    429: "Too many at once: try again after `Retry-After` seconds",
    500: "A fault of ours",
    503: "Database or object store are away: try again after `Retry-After` seconds",
    507: "No room left",
}


def operation_id(route: APIRoute) -> str:
    """`list_job_events` → `listJobEvents`."""
    first, *others = route.name.split("_")
    return first + "".join(word.capitalize() for word in others)


def sends(model: type[BaseModel], *media_types: str) -> Json:
    """The body of a request, for `openapi_extra`: bodies are read by `api.bodies`, which FastAPI cannot know.

    Args:
        media_types: other names of JSON that are taken.
    """
    content: Json = {"schema": {"$ref": REF + model.__name__}}
    return {"requestBody": {"required": True, "content": dict.fromkeys(("application/json", *media_types), content)}}


def sends_bytes() -> Json:
    content = {"schema": {"type": "string", "format": "binary"}}
    return {"requestBody": {"required": True, "content": {"application/octet-stream": content}}}


def also(*statuses: int) -> dict[int | str, Json]:
    """Answers of a route that do not follow from what it takes, for `responses`."""
    return {status: {"description": REASONS[status]} for status in statuses}


def describe(app: FastAPI, routers: Iterable[APIRouter]) -> Json:
    """The OpenAPI document."""
    from api.examples import EXAMPLES  # now, for it takes a third of a second, which no start need wait for

    document = get_openapi(
        title="Trainwright",
        version=VERSION,
        description=DESCRIPTION,
        routes=app.routes,
        servers=[{"url": "/", "description": "Where this document comes from"}],
        license_info={"name": "Apache 2.0", "identifier": "Apache-2.0"},
    )
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas |= _schemas()
    for router in routers:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            for method in route.methods or ():
                _finish(document["paths"][route.path_format][method.lower()], route, EXAMPLES)
    return document


def _finish(operation: Json, route: APIRoute, examples: Mapping[str, Json]) -> None:
    operation.setdefault("security", [])  # said of what needs no key, too
    responses = operation["responses"]
    for status in _errors_of(operation, route):
        if "content" in responses.get(str(status), {}):
            continue
        content = {"application/problem+json": {"schema": {"$ref": f"{REF}Problem"}}}
        responses[str(status)] = {"description": REASONS[status], "content": content}
    operation["responses"] = dict(sorted(responses.items()))
    shown = [operation.get("requestBody", {}), *(said for status, said in responses.items() if status.startswith("2"))]
    for content in (content for said in shown for content in said.get("content", {}).values()):
        name = content.get("schema", {}).get("$ref", "").removeprefix(REF)
        if name in examples:
            content.setdefault("example", examples[name])


def _errors_of(operation: Json, route: APIRoute) -> set[int]:
    """What follows from what a route takes, and what it says of itself."""
    operation["responses"].pop("422", None)  # FastAPI's own, wherever there is any parameter
    errors = {400, 500} | {int(status) for status in operation["responses"] if int(status) >= 400}
    scopes = set(scopes_of(route))
    places = {parameter["in"] for parameter in operation.get("parameters", [])}
    calls = {dependency.call for dependency in route.dependant.dependencies}
    errors |= {401, 429, 503} if scopes else set()
    errors |= {403} if scopes - {READ} else set()
    errors |= {404} if "path" in places else set()
    errors |= {422} if places & {"query", "header"} else set()
    errors |= {408, 413, 415, 422} if "requestBody" in operation else set()
    return errors | ({409} if calls & {once, once_without_body} else set())


def _schemas() -> Json:
    schemas: Json = {}
    for model in (
        Problem,
        CreateProject,
        CreateApiKey,
        CreateDataset,
        SignPart,
        CompleteUpload,
        CreateJob,
        EditJob,
        ForkJob,
        EditProject,
        RotateApiKey,
    ):
        schema = model.model_json_schema(ref_template=REF + "{model}")
        schemas |= schema.pop("$defs", {})
        schemas[model.__name__] = schema
    for patch in (EditJob.__name__, EditProject.__name__):
        schemas[patch] = _patch_of(schemas[patch])
    spec = _moved(job_spec_schema())
    schemas |= {_spec_name(name): schema | {"title": _spec_name(name)} for name, schema in spec.pop("$defs").items()}
    labels = schemas[CreateJob.__name__]["properties"]
    schemas[CreateJob.__name__] = spec | {"title": CreateJob.__name__, "properties": spec["properties"] | labels}
    return schemas


def _patch_of(schema: Json) -> Json:
    """A merge patch of what has this schema: nothing has to be there, and null takes away."""
    members = {name: _or_null(member) for name, member in schema["properties"].items()}
    return {key: value for key, value in schema.items() if key != "required"} | {"properties": members}


def _or_null(schema: Json) -> Json:
    if "anyOf" in schema:
        return schema
    said = {key: value for key, value in schema.items() if key in ("title", "description")}
    kept = {key: value for key, value in schema.items() if key not in (*said, "default")}
    if "patternProperties" in kept:
        kept["patternProperties"] = {name: _or_null(value) for name, value in kept["patternProperties"].items()}
    return {"anyOf": [kept, {"type": "null"}], **said}


def _spec_name(name: str) -> str:
    """What a definition of the spec is called here: its `Dataset` is not the resource of that name.

    Where two have one name, pydantic says the module too: `models__spec__schedule__Constant`.
    """
    *_, module, class_ = ("", *name.split("__"))
    return f"Spec{module.capitalize()}{class_}"


def _moved(node: Any) -> Any:
    """The schema of a spec with its definitions beside the others.

    Defaults that are objects are left to `/v1/schemas/job-spec.json`: generators of clients make an object of each
    class only where the caller says so.
    """
    if isinstance(node, dict):
        kept = {key: value for key, value in node.items() if key != "default" or not isinstance(value, dict)}
        return {key: _moved(value) if key != "$ref" else _moved_ref(value) for key, value in kept.items()}
    if isinstance(node, list):
        return [_moved(item) for item in node]
    if isinstance(node, str) and node.startswith("#/$defs/"):  # a discriminator's mapping
        return _moved_ref(node)
    return node


def _moved_ref(reference: str) -> str:
    return REF + _spec_name(reference.removeprefix("#/$defs/"))
