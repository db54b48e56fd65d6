"""The cookie that signs a browser in, and which requests it counts for.

No script can read it, and no other site can send it. Cookies know no ports, so that its name has one: services on
several ports of a machine do not sign each other out. Browsers say where a request comes from; one that does not come
from a page of this host is served as if it had no cookie.
"""

from urllib.parse import urlsplit

from fastapi import Request, Response

LONGEST = 128


def token_of(request: Request) -> str | None:
    """The token of a browser that is asking from our own page."""
    token = request.cookies.get(_name(request, secure=True)) or request.cookies.get(_name(request, secure=False))
    return token if token and len(token) <= LONGEST and is_from_here(request) else None


def is_from_here(request: Request) -> bool:
    """Whether a browser's request comes from a page of this host, or from its address bar."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    if origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower():
        return False
    if request.method in ("GET", "HEAD"):
        return site in (None, "same-origin", "none")
    return site in (None, "same-origin") and (origin is not None or site is not None)


def give(request: Request, response: Response, token: str, seconds: float) -> None:
    secure = _is_https(request)
    response.set_cookie(
        _name(request, secure=secure), token, int(seconds), path="/", secure=secure, httponly=True, samesite="strict"
    )


def take_back(request: Request, response: Response) -> None:
    for secure in (True, False):
        response.delete_cookie(_name(request, secure=secure), secure=secure, httponly=True, samesite="strict")


def _is_https(request: Request) -> bool:
    """Behind a proxy that ends TLS it is the browser who knows."""
    return "https" in (request.url.scheme, urlsplit(request.headers.get("origin", "")).scheme)


def _name(request: Request, *, secure: bool) -> str:
    """`__Host-`: browsers take it over TLS only, from this very host, for all of its paths."""
    port = request.headers.get("host", "").rpartition(":")[2]
    name = f"trainwright-{port}" if port.isdigit() else "trainwright"
    return f"__Host-{name}" if secure else name
