"""Server-sent events as the HTML standard defines them, from the bytes of a stream however they are cut."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Message", "Parser"]

LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True)
class Message:
    """One event: its type and its data."""

    event: str
    data: str


@dataclass
class Parser:
    """What has been read of a stream. `last_event_id` and `retry_seconds` are what the next connection needs."""

    last_event_id: str | None = None
    retry_seconds: float = 1.0
    _buffer: bytes = b""
    _event: str = ""
    _data: list[str] = field(default_factory=list)
    _id: str | None = None

    def connected(self) -> None:
        """Forget what an earlier connection left unfinished."""
        self._buffer, self._event, self._data, self._id = b"", "", [], self.last_event_id

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take the next bytes; the messages that they complete."""
        whole = self._buffer + data
        lines = LINE_END.split(whole)
        self._buffer = lines.pop()
        if whole.endswith(b"\r"):  # a line feed may follow, and belong to it
            self._buffer = lines.pop() + b"\r"
        for line in lines:
            message = self._take(line.decode(errors="replace"))
            if message is not None:
                yield message

    def _take(self, line: str) -> Message | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
            case "event":
                self._event = value
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isdecimal():
                self.retry_seconds = int(value) / 1000
            case _:
                pass  # a comment, or a field that the standard does not know
        return None

    def _dispatch(self) -> Message | None:
        self.last_event_id = self._id
        message = Message(self._event or "message", "\n".join(self._data)) if self._data else None
        self._event, self._data = "", []
        return message
