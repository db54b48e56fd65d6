"""A spec as its author wrote it: read, changed by `--set`, and shown again with the mistakes under their lines."""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..resources import ProblemItem
from .failures import Refused
from .session import plain

__all__ = ["SpecFile", "change", "mistakes", "patch_between", "read_spec"]

LONGEST_LINE = 160
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:,]|[^\s\[\]{}:,"]+')
Span = tuple[int, int]
Places = dict[str, tuple[Span, Span]]
"""JSON pointer → where its key and its value stand in a text."""


@dataclass(frozen=True)
class SpecFile:
    """A spec and its text."""

    name: str
    text: str
    value: dict[str, Any]
    original: "SpecFile | None" = None
    """What it was before it was changed."""

    @classmethod
    def of(cls, value: dict[str, Any], name: str, original: "SpecFile | None" = None) -> "SpecFile":
        """A spec that nobody has written in this form."""
        return cls(name, json.dumps(value, indent=2, ensure_ascii=False), value, original)

    def changed(self, settings: Sequence[str]) -> "SpecFile":
        """With changes, each `path=value`.

        Raises:
            Refused: one does not fit it.
        """
        value = self.value
        for setting in settings:
            value = change(value, setting)
        original = self.original or self
        return self if value == self.value else SpecFile.of(value, f"{original.name}, as changed", original)


def read_spec(file: Path, settings: Sequence[str]) -> SpecFile:
    """Read a JSON file (`-`: standard input), and change it.

    Raises:
        Refused: it is not a JSON object, or a change does not fit it.
    """
    name = "standard input" if str(file) == "-" else str(file)
    text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    value = _parse(text, name)
    is_readable = max(map(len, text.splitlines())) <= LONGEST_LINE
    return (SpecFile(name, text, value) if is_readable else SpecFile.of(value, name)).changed(settings)


def change(value: Any, setting: str) -> Any:
    """`optimizer.learning_rate=0.1`: the value is JSON, or else a word. Numbers count the items of a list from 0.

    Raises:
        Refused: there is no such place.
    """
    path, equals, text = setting.partition("=")
    if not equals or not path:
        raise Refused(f"--set {setting}: write path=value, as in optimizer.learning_rate=0.1")
    return _changed(value, path.split("."), _word(text), setting)


def patch_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON Merge Patch (RFC 7396) that makes the one of the other."""
    patch: dict[str, Any] = dict.fromkeys(before.keys() - after.keys())
    for name, new in after.items():
        old = before.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            if inner := patch_between(old, new):
                patch[name] = inner
        elif name not in before or new != old:
            patch[name] = new
    return patch


def mistakes(spec: SpecFile, errors: Iterable[ProblemItem]) -> list[str]:
    """The lines of a spec in which something is wrong, with what it is under each."""
    texts = [text for text in (spec.original, spec) if text is not None]
    shown = [(text, _places(text.text)) for text in texts]
    return [line for item in errors for line in _mistake(*_place_to_show(shown, item.pointer or ""), item)]


def _parse(text: str, name: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        line = text.splitlines()[error.lineno - 1 : error.lineno] or [""]
        pointer = f"{line[0][:LONGEST_LINE]}\n  {' ' * (error.colno - 1)}^ {error.msg}"
        raise Refused(f"{name}:{error.lineno}:{error.colno} is not JSON\n  {pointer}") from None
    if not isinstance(value, dict):
        raise Refused(f"{name} holds no JSON object, and a job spec is one")
    return value


def _word(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _changed(value: Any, path: Sequence[str], new: Any, setting: str) -> Any:
    if not path:
        return new
    step, *rest = path
    if isinstance(value, list):
        if not step.isdecimal() or int(step) >= len(value):
            raise Refused(f"--set {setting}: `{step}` is none of the {len(value)} items, which count from 0")
        changed = [*value]
        changed[int(step)] = _changed(value[int(step)], rest, new, setting)
        return changed
    if value is not None and not isinstance(value, dict):
        raise Refused(f"--set {setting}: there is nothing within {json.dumps(value)}")
    inside = value or {}
    return {**inside, step: _changed(inside.get(step), rest, new, setting)}


def _place_to_show(shown: Sequence[tuple[SpecFile, Places]], pointer: str) -> tuple[SpecFile, Places]:
    """The author's own text if it says there what was sent; otherwise the text that was sent."""
    (first, places), (sent, sent_places) = shown[0], shown[-1]
    own, other = places.get(pointer), sent_places.get(pointer)
    if own and other and json.loads(first.text[slice(*own[1])]) == json.loads(sent.text[slice(*other[1])]):
        return first, places
    return sent, sent_places


def _mistake(spec: SpecFile, places: Places, item: ProblemItem) -> Iterator[str]:
    pointer = item.pointer or ""
    known = pointer
    while known not in places:
        known = known.rpartition("/")[0]
    if not known:
        yield f"{spec.name}: {pointer}: {plain(item.detail)}" if pointer else f"{spec.name}: {plain(item.detail)}"
        return
    key, value = places[known]
    start, end = key if item.code == "unknown_key" and known == pointer else value
    row = spec.text.count("\n", 0, start) + 1
    begin = spec.text.rfind("\n", 0, start) + 1
    line = spec.text[begin:].partition("\n")[0]
    width = max(1, min(end, begin + len(line)) - start)
    yield f"{spec.name}:{row}:{start - begin + 1}"
    yield f"{row:>5} | {plain(line)}"
    yield f"      | {' ' * (start - begin)}{'^' * width}"
    yield f"      = {pointer}: {plain(item.detail)}"
    if item.allowed and not all(str(word) in item.detail for word in item.allowed):
        yield f"        allowed: {', '.join(plain(str(word)) for word in item.allowed)}"


def _places(text: str) -> Places:
    found: Places = {}
    _read(iter(TOKEN.finditer(text)), "", None, found)
    return found


def _read(
    tokens: Iterator[re.Match[str]],
    pointer: str,
    key: Span | None,
    found: Places,
    first: re.Match[str] | None = None,
) -> None:
    first = first or next(tokens)
    start, end = first.span()
    if first[0] in "[{":
        position = 0
        while (token := next(tokens))[0] not in "]}":
            if token[0] == ",":
                continue
            if first[0] == "[":
                _read(tokens, f"{pointer}/{position}", None, found, token)
                position += 1
            else:
                assert next(tokens)[0] == ":"
                name = json.loads(token[0]).replace("~", "~0").replace("/", "~1")
                _read(tokens, f"{pointer}/{name}", token.span(), found)
        end = token.end()
    found[pointer] = key or (start, end), (start, end)
