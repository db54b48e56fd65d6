"""A browser's way in: a key, or a link with a ticket, for a cookie. A key is never in an address."""

from html import escape
from http import HTTPStatus
from pathlib import Path
from string import Template
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool

from api import cookies
from api.bodies import pieces
from api.dependencies import KEY, DatabaseDep, SettingsDep, public
from api.web.pages import PAGE_HEADERS, STATIC
from models import browser_sessions, projects
from models.database import Database
from models.settings import Settings

router = APIRouter(include_in_schema=False, dependencies=[Depends(public)])
FORM = Template(Path(__file__).with_name("sign-in.html").read_text(encoding="utf-8"))
Next = Annotated[str, Query(alias="next", max_length=2000)]
LONGEST_FORM = 4096
UNKNOWN_KEY = "This key is unknown or revoked."
USED_LINK = "This link was used before, or is too old. Start the service again for a new one, or use a key."
ELSEWHERE = "This form was sent from another site. Send it from here."


@router.get("/sign-in")
def sign_in_page(
    request: Request, database: DatabaseDep, settings: SettingsDep, ticket: str = "", next_: Next = "/jobs"
) -> Response:
    if not ticket:
        return _form("", next_)
    seconds = settings.browser_session_hours * 3600
    with database.write() as session:
        token = browser_sessions.redeem(session, ticket, seconds)
    return _form(USED_LINK, next_) if token is None else _welcome(request, token, seconds, next_)


@router.post("/sign-in")
async def sign_in(request: Request, database: DatabaseDep, settings: SettingsDep) -> Response:
    fields = parse_qs(b"".join([piece async for piece in pieces(request, LONGEST_FORM)]).decode("utf-8", "replace"))
    key, place = fields.get("key", [""])[0].strip(), _inside(fields.get("next", [""])[0])
    if not cookies.is_from_here(request):
        return _form(ELSEWHERE, place)
    token = await run_in_threadpool(_exchange, database, settings, key)
    if token is None:
        return _form(UNKNOWN_KEY, place)
    return _welcome(request, token, settings.browser_session_hours * 3600, place)


@router.post("/sign-out")
def sign_out(request: Request, database: DatabaseDep) -> Response:
    token = cookies.token_of(request)
    answer = RedirectResponse("/sign-in", HTTPStatus.SEE_OTHER)
    if token is not None:
        with database.write() as session:
            browser_sessions.close_session(session, token)
        cookies.take_back(request, answer)
    return answer


def _exchange(database: Database, settings: Settings, key: str) -> str | None:
    if not KEY.fullmatch(key):
        return None
    with database.write() as session:
        caller = projects.authenticate(session, key)
        if caller is None:
            return None
        return browser_sessions.open_session(session, caller.key_id, settings.browser_session_hours * 3600)


def _welcome(request: Request, token: str, seconds: float, place: str) -> Response:
    answer = RedirectResponse(place, HTTPStatus.SEE_OTHER)
    cookies.give(request, answer, token, seconds)
    return answer


def _form(problem: str, place: str) -> Response:
    shown = f'<p class="notice error" role="alert">{escape(problem)}</p>' if problem else ""
    html = FORM.substitute(static=STATIC, problem=shown, next=escape(_inside(place)))
    return HTMLResponse(html, HTTPStatus.FORBIDDEN if problem else HTTPStatus.OK, headers=PAGE_HEADERS)


def _inside(place: str) -> str:
    """A path of ours; anything that a browser could read as another site's is the first screen."""
    return place if place.startswith("/") and not place.startswith(("//", "/\\")) and place.isprintable() else "/jobs"
