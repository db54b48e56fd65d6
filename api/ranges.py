"""Parts of a file (RFC 9110, section 14): one range of bytes."""

import re
from http import HTTPStatus
from typing import NamedTuple

from api.errors import ApiError

SPEC = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class Range(NamedTuple):
    """The bytes start … end, exclusive."""

    start: int
    end: int

    def content_range(self, size: int) -> str:
        return f"bytes {self.start}-{self.end - 1}/{size}"


class RangeNotSatisfiable(ApiError):
    status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    code = "range_not_satisfiable"

    def __init__(self, size: int) -> None:
        super().__init__(f"there are {size:,} bytes, and none where the range lies")
        self.headers = {"Content-Range": f"bytes */{size}"}


def range_of(header: str | None, size: int) -> Range | None:
    """What a Range header asks for; None for the whole, also when it asks for what we do not do (several ranges).

    Raises:
        RangeNotSatisfiable: nothing of the file lies in it.
    """
    match = SPEC.fullmatch(header.replace(" ", "")) if header else None
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if first == "":
        wanted = Range(max(0, size - int(last)), size)
    elif last and int(last) < int(first):
        return None
    else:
        wanted = Range(int(first), min(size, int(last) + 1) if last else size)
    if wanted.start >= wanted.end:
        raise RangeNotSatisfiable(size)
    return wanted
