"""One way to the service, for ordinary code and for async code: the address, the key, retries, and refusals turned into
exceptions."""

import asyncio
import ipaddress
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from platform import python_version
from typing import Any, BinaryIO

import httpx
import pydantic

from .access import find_access
from .calls import Call, Reply
from .download import Progress
from .errors import APIError, ConnectionFailed, error_of
from .resources import Problem
from .retries import pause_before_retry, retry_after
from .version import __version__

__all__ = ["AsyncConnection", "Connection"]

CHUNK = 256 * 1024
STREAMED: dict[str, Any] = {"timeout": httpx.Timeout(60.0, connect=10.0), "follow_redirects": True}
"""A stream of events says something every 15 seconds, if only that there is nothing. Objects may lie elsewhere."""

Outcome = httpx.Response | httpx.TransportError


class Connection:
    """Sends calls, and sends them again when that makes sense."""

    def __init__(self, base_url: str | None, api_key: str | None, transport: httpx.BaseTransport | None) -> None:
        self._http = httpx.Client(**_options(base_url, api_key), transport=transport)

    def send(self, call: Call[Reply]) -> Reply:
        retries = 0
        while True:
            outcome = self._try(call)
            pause = pause_before_retry(outcome, retries, call.patience)
            if pause is None:
                return _conclude(call, outcome, self._http.base_url)
            time.sleep(pause)
            retries += 1

    @contextmanager
    def open(self, path: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """A reply whose body is read as it comes.

        Raises:
            httpx.TransportError: the connection failed, now or while the body is read: the caller knows how to go on.
            APIError: the service refused.
        """
        retries = 0
        while True:
            with self._http.stream("GET", path, headers=dict(headers), **STREAMED) as response:
                pause = pause_before_retry(response, retries)
                if pause is None:
                    if response.is_error:
                        response.read()
                        raise _refusal(response)
                    yield response
                    return
            time.sleep(pause)
            retries += 1

    def unreachable(self, error: httpx.TransportError) -> ConnectionFailed:
        return _unreachable(error, self._http.base_url)

    def close(self) -> None:
        self._http.close()

    def _try(self, call: Call[Any]) -> Outcome:
        try:
            content = call.content if call.file is None else _pieces(call.file, call.span, call.progress)
            return self._http.send(_ours_only(call, self._http.build_request(**_arguments(call), content=content)))
        except httpx.TransportError as error:
            return error


class AsyncConnection:
    """The same for async code."""

    def __init__(self, base_url: str | None, api_key: str | None, transport: httpx.AsyncBaseTransport | None) -> None:
        self._http = httpx.AsyncClient(**_options(base_url, api_key), transport=transport)

    async def send(self, call: Call[Reply]) -> Reply:
        retries = 0
        while True:
            outcome = await self._try(call)
            pause = pause_before_retry(outcome, retries, call.patience)
            if pause is None:
                return _conclude(call, outcome, self._http.base_url)
            await asyncio.sleep(pause)
            retries += 1

    @asynccontextmanager
    async def open(self, path: str, headers: Mapping[str, str]) -> AsyncIterator[httpx.Response]:
        retries = 0
        while True:
            async with self._http.stream("GET", path, headers=dict(headers), **STREAMED) as response:
                pause = pause_before_retry(response, retries)
                if pause is None:
                    if response.is_error:
                        await response.aread()
                        raise _refusal(response)
                    yield response
                    return
            await asyncio.sleep(pause)
            retries += 1

    def unreachable(self, error: httpx.TransportError) -> ConnectionFailed:
        return _unreachable(error, self._http.base_url)

    async def close(self) -> None:
        await self._http.aclose()

    async def _try(self, call: Call[Any]) -> Outcome:
        try:
            content = call.content if call.file is None else _pieces_async(call.file, call.span, call.progress)
            request = _ours_only(call, self._http.build_request(**_arguments(call), content=content))
            return await self._http.send(request)
        except httpx.TransportError as error:
            return error


def _options(base_url: str | None, api_key: str | None) -> dict[str, Any]:
    access = find_access(base_url, api_key)
    url = httpx.URL(access.url)
    headers = {"User-Agent": f"trainwright/{__version__} python/{python_version()}"}
    if access.api_key:
        headers["Authorization"] = f"Bearer {access.api_key}"
    # A proxy of the environment cannot reach this machine's own loopback address.
    return {"base_url": url, "headers": headers, "trust_env": not _is_loopback(url.host)}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _arguments(call: Call[Any]) -> dict[str, Any]:
    return {
        "method": call.method,
        "url": call.path,
        "params": dict(call.query) or None,
        "headers": dict(call.headers),
        "timeout": call.timeout,
    }


def _conclude(call: Call[Reply], outcome: Outcome, url: httpx.URL) -> Reply:
    if isinstance(outcome, httpx.TransportError):
        raise _unreachable(outcome, url) from outcome
    if outcome.is_error:
        raise _refusal(outcome)
    try:
        return call.read(outcome)
    except pydantic.ValidationError as error:
        raise ConnectionFailed(
            f"what answers at {url} is not this service, or a version that this client does not know "
            f"({call.method} {call.path}: {error.error_count()} unexpected fields)"
        ) from error


def _refusal(response: httpx.Response) -> APIError:
    try:
        problem = Problem.model_validate_json(response.content)
    except pydantic.ValidationError:  # not the service's own words: a proxy's, say
        problem = Problem(title=response.reason_phrase, status=response.status_code, detail="no details were given")
    return error_of(problem, retry_after(response))


def _unreachable(error: httpx.TransportError, url: httpx.URL) -> ConnectionFailed:
    return ConnectionFailed(f"{url} does not answer ({type(error).__name__}: {error})")


def _ours_only(call: Call[Any], request: httpx.Request) -> httpx.Request:
    """Without our key, if it goes to somebody else."""
    if call.is_foreign:
        del request.headers["Authorization"]
    return request


def _pieces(path: Path, span: tuple[int, int] | None, progress: Progress | None) -> Iterator[bytes]:
    with path.open("rb") as file:
        start, end = span or (0, os.fstat(file.fileno()).st_size)
        file.seek(start)
        while piece := file.read(min(CHUNK, end - file.tell())):
            yield piece
            _tell(progress, file)


async def _pieces_async(path: Path, span: tuple[int, int] | None, progress: Progress | None) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        start, end = span or (0, os.fstat(file.fileno()).st_size)
        file.seek(start)
        while piece := await asyncio.to_thread(file.read, min(CHUNK, end - file.tell())):
            yield piece
            _tell(progress, file)


def _tell(progress: Progress | None, file: BinaryIO) -> None:
    if progress is not None:
        progress(file.tell(), os.fstat(file.fileno()).st_size)
