"""Where specs differ, by JSON pointer (RFC 6901)."""

from collections.abc import Iterator, Mapping
from typing import Any

from api.errors import pointer
from api.resources import Difference

ABSENT = object()


def differences(specs: Mapping[str, Any]) -> list[Difference]:
    """Every place at which the specs of some jobs differ, as deep as they have it in common."""
    return list(_differences(specs, ()))


def _differences(values: Mapping[str, Any], place: tuple[str | int, ...]) -> Iterator[Difference]:
    if all(isinstance(value, dict) for value in values.values()):
        names = dict.fromkeys(name for value in values.values() for name in value)
        for name in names:
            yield from _differences({job: value.get(name, ABSENT) for job, value in values.items()}, (*place, name))
    elif all(isinstance(value, list) for value in values.values()):
        for index in range(max(len(value) for value in values.values())):
            at = {job: value[index] if index < len(value) else ABSENT for job, value in values.items()}
            yield from _differences(at, (*place, index))
    elif any(not _equal(value, next(iter(values.values()))) for value in values.values()):
        yield Difference(
            pointer=pointer(place), values={job: value for job, value in values.items() if value is not ABSENT}
        )


def _equal(one: Any, other: Any) -> bool:
    """As JSON sees it: true is not 1, but 1 is 1.0."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
