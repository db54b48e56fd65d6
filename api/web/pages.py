"""The screens of the page. The server sends shells; what is in them the page's scripts ask of the public API."""

from html import escape
from pathlib import Path
from string import Template
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from api.cookies import token_of
from api.dependencies import DatabaseDep, public
from api.errors import NotFound
from api.web.files import FILES, VERSION, media_type_of
from models import browser_sessions
from models.projects import Caller

router = APIRouter(include_in_schema=False, dependencies=[Depends(public)])
SHELL = Template(Path(__file__).with_name("shell.html").read_text(encoding="utf-8"))
LINKS = {"/jobs": "Jobs", "/compare": "Compare", "/datasets": "Data sets", "/workers": "Workers"}
STATIC = f"/static/{VERSION}"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Nothing inline, nothing from elsewhere, and no text that becomes markup."""
PAGE_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # without one browsers would not say where a form comes from
}


def _visitor(request: Request, database: DatabaseDep) -> Caller | None:
    token = token_of(request)
    if token is None:
        return None
    with database.read() as session:
        return browser_sessions.authenticate(session, token)


Visitor = Annotated[Caller | None, Depends(_visitor)]


@router.get("/")
def home() -> Response:
    return RedirectResponse("/jobs", 303)


@router.get("/jobs")
def jobs_page(request: Request, visitor: Visitor) -> Response:
    return _screen(request, visitor, "jobs", "Jobs")


@router.get("/jobs/new")
def new_job_page(request: Request, visitor: Visitor) -> Response:
    return _screen(request, visitor, "new-job", "New job")


@router.get("/jobs/{job_id}")
def job_page(request: Request, visitor: Visitor, job_id: str) -> Response:  # noqa: ARG001  the page reads its address
    return _screen(request, visitor, "job", "Job")


@router.get("/compare")
def compare_page(request: Request, visitor: Visitor) -> Response:
    return _screen(request, visitor, "compare", "Compare")


@router.get("/datasets")
def datasets_page(request: Request, visitor: Visitor) -> Response:
    return _screen(request, visitor, "datasets", "Data sets")


@router.get("/datasets/{dataset_id}")
def dataset_page(request: Request, visitor: Visitor, dataset_id: str) -> Response:  # noqa: ARG001
    return _screen(request, visitor, "dataset", "Data set")


@router.get("/workers")
def workers_page(request: Request, visitor: Visitor) -> Response:
    return _screen(request, visitor, "workers", "Workers")


@router.get("/static/{version}/{name:path}")
def static_file(version: str, name: str) -> Response:
    if version != VERSION or name not in FILES:
        raise NotFound
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(FILES[name], media_type=media_type_of(name), headers=headers)


def _screen(request: Request, visitor: Caller | None, screen: str, title: str) -> Response:
    """The shell of a screen, or the way to sign in."""
    path = request.url.path
    if visitor is None:
        return RedirectResponse(f"/sign-in?next={quote(_with_query(request), safe='')}", 303)
    links = "".join(_link(target, text, path) for target, text in LINKS.items())
    html = SHELL.substitute(static=STATIC, screen=screen, title=escape(title), scope=visitor.scope, links=links)
    return HTMLResponse(html, headers=PAGE_HEADERS)


def _link(target: str, text: str, path: str) -> str:
    current = ' aria-current="page"' if path == target else ' aria-current="true"' if path.startswith(target) else ""
    return f'<a href="{target}"{current}>{text}</a>'


def _with_query(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")
