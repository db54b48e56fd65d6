"""Where specs differ, by JSON pointer (RFC 6901), and how much of what came of them is chance."""

import json
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from api.errors import pointer
from api.resources import Difference, Noise, Repetition

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


def repetitions(specs: Mapping[str, Any], results: Mapping[str, Mapping[str, Any] | None]) -> list[Repetition]:
    """The groups of two jobs or more that differ in nothing but name and seed, and the spread of their results."""
    alike: dict[str, list[str]] = {}
    for job, spec in specs.items():
        rest = {name: value for name, value in spec.items() if name not in ("name", "seed")}
        alike.setdefault(json.dumps(rest, sort_keys=True), []).append(job)
    return [_repetition(jobs, [results[job] or {} for job in jobs]) for jobs in alike.values() if len(jobs) > 1]


def _repetition(jobs: list[str], results: Sequence[Mapping[str, Any]]) -> Repetition:
    names = dict.fromkeys(name for result in results for name in result if name != "epoch")
    found = {name: [result[name] for result in results if result.get(name) is not None] for name in names}
    return Repetition(jobs=jobs, metrics={name: _noise(values) for name, values in found.items() if values})


def _noise(values: Sequence[float]) -> Noise:
    std = stdev(values) if len(values) > 1 else None
    return Noise(count=len(values), mean=fmean(values), std=std, minimum=min(values), maximum=max(values))
