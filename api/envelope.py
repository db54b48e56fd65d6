"""What every answer has around it: a request id, security headers, a line in the log. And the last line of defence: a
host that is not ours is refused, and a bug is answered with a problem and nothing of the inside."""

import re
import time
from collections.abc import Sequence

import structlog
from fastapi import Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import MalformedRequest, as_api_error, problem
from models.ids import new_id

log = structlog.get_logger()
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Envelope:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, allowed_hosts: Sequence[str]) -> None:
        self._app = app
        self._allowed_hosts = [host.lower() for host in allowed_hosts]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else new_id("req")
        scope.setdefault("state", {})["request_id"] = request_id
        exchange = _Exchange(scope, send, request_id)
        if not self._is_ours(headers.get("host", "")):
            refusal = MalformedRequest("this host is not served here", code="unknown_host")
            await problem(refusal, request_id)(scope, receive, exchange.send)
            exchange.log()
        else:
            try:
                await self._serve(scope, receive, exchange)
            finally:
                exchange.log()

    async def _serve(self, scope: Scope, receive: Receive, exchange: "_Exchange") -> None:
        try:
            await self._app(scope, receive, exchange.send)
        except ClientDisconnect:
            return
        except Exception as error:
            log.exception("request_failed", request_id=exchange.request_id, error=type(error).__name__)
            if exchange.status is not None:
                raise
            answer: Response = problem(as_api_error(error), exchange.request_id)
            await answer(scope, receive, exchange.send)

    def _is_ours(self, host: str) -> bool:
        name = re.sub(r":\d+$", "", host.lower())
        return any(
            allowed in ("*", name) or (allowed.startswith("*.") and name.endswith(allowed[1:]))
            for allowed in self._allowed_hosts
        )


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self._scope = scope
        self._send = send
        self._started = time.perf_counter()
        self.request_id = request_id
        self.status: int | None = None
        self.made: str | None = None
        """The path of what it has made: so a request is found by its job."""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = int(message["status"])
            headers = MutableHeaders(scope=message)
            self.made = headers.get("location") if self.status == 201 else None  # elsewhere it may carry a signature
            headers["X-Request-Id"] = self.request_id
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)

    def log(self) -> None:
        caller = self._scope["state"].get("caller")
        log.info(
            "request",
            request_id=self.request_id,
            method=self._scope["method"],
            path=self._scope["path"][:200],
            status=self.status,
            made=self.made,
            milliseconds=round((time.perf_counter() - self._started) * 1000, 1),
            key=caller and caller.key_id,
            project=caller and caller.project_id,
        )
