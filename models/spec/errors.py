"""What is wrong with a spec, said so that it can be put right: where, what is allowed, what was probably meant."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from .initialization import ALIASES
from .job import JobSpec
from .schema import Node, alternatives, fields_of, job_spec_schema, types_of
from .technique import MAX_WIDTH

Path = tuple[str | int, ...]

MOST_ERRORS = 200
"""So many are told; nobody reads more, and a spec made to be wrong could have a hundred thousand."""


@dataclass(frozen=True, slots=True)
class SpecError:
    """One thing that must be changed."""

    pointer: str
    """RFC 6901, into what was sent."""
    code: str
    detail: str
    allowed: Sequence[str | int | float] | None = None
    suggestion: str | None = None


@dataclass(frozen=True, slots=True)
class SpecWarning:
    """One thing that is legal and usually not meant."""

    pointer: str
    code: str
    detail: str


class SpecInvalid(ValueError):
    """The spec cannot be run; every reason at once."""

    def __init__(self, errors: tuple[SpecError, ...]) -> None:
        self.errors = errors
        super().__init__("\n".join(f"{error.pointer or '/'}: {error.detail}" for error in errors))


def parse_spec(raw: object) -> JobSpec:
    """The spec that this JSON value says. Raises SpecInvalid with all errors, which never repeat what was sent."""
    unfit = list(_unfit(raw))
    if unfit:
        raise SpecInvalid(tuple(unfit))
    try:
        return JobSpec.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        details = error.errors(include_url=False)
        errors = _translate(details[:MOST_ERRORS], raw)
        if len(details) > MOST_ERRORS:
            errors.append(SpecError("", "more_errors", f"… and {len(details) - MOST_ERRORS:,} more"))
        raise SpecInvalid(tuple(errors)) from None


def pointer_to(path: Path) -> str:
    """The RFC 6901 pointer: `~` and `/` in keys are escaped."""
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in path)


def closest(word: str, known: Sequence[str]) -> str | None:
    """The known word most like this one, if any is near."""
    simple = word.lower().replace("-", "_").replace(" ", "_")[:100]
    near = get_close_matches(simple, known, n=1, cutoff=0.6)
    if near:
        return near[0]
    return next((name for name in known if len(simple) > 1 and _contains(name, simple)), None)


def _contains(name: str, simple: str) -> bool:
    """Whether one is the beginning of the other, or a word of it."""
    begins = name.startswith(simple) or (len(name) > 3 and simple.startswith(name))
    return begins or simple in name.split("_") or name in simple.split("_")


# What JSON can carry and a database or a number cannot. Looked for first, so that the rest may rely on it.

MAX_DEPTH = 32
LONGEST_LIST = 65_536


def _unfit(value: object, path: Path = ()) -> Iterator[SpecError]:
    if len(path) > MAX_DEPTH:
        yield SpecError(pointer_to(path), "too_deep", "Nested more deeply than any spec")
    elif isinstance(value, str):
        yield from _unfit_text(value, path)
    elif isinstance(value, dict):
        for key, member in value.items():
            if not isinstance(key, str):
                yield SpecError(pointer_to(path), "not_json", "Keys are strings")
                continue
            yield from _unfit_text(key, path)
            yield from _unfit(member, (*path, key))
    elif isinstance(value, list | tuple) and len(value) > LONGEST_LIST:
        detail = (
            f"{len(value):,} entries, and no list of a spec has more than {LONGEST_LIST:,}: a network has 512 layers"
        )
        yield SpecError(pointer_to(path), "too_long", detail)
    elif isinstance(value, list | tuple):
        for index, member in enumerate(value):
            yield from _unfit(member, (*path, index))
    elif isinstance(value, float) and not math.isfinite(value):
        yield SpecError(pointer_to(path), "not_finite", "Numbers are finite: NaN and infinity are refused")
    elif isinstance(value, int) and abs(value) >= 2**63:
        yield SpecError(pointer_to(path), "number_too_large", "Whole numbers have at most 63 bits")
    elif value is not None and not isinstance(value, int | float):
        yield SpecError(pointer_to(path), "not_json", "Not a JSON value")


def _unfit_text(text: str, path: Path) -> Iterator[SpecError]:
    if "\0" in text or (not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)):
        yield SpecError(
            pointer_to(path).encode("utf-8", "replace").decode(), "text", "Text without NUL and without lone surrogates"
        )


def _translate(details: Sequence[ErrorDetails], raw: object) -> list[SpecError]:
    located = [(_path(detail, raw), detail) for detail in details]
    located = [(path, detail) for path, detail in located if not _is_other_branch(path, located, raw)]
    missing = {path for path, detail in located if detail["type"] == "missing"}
    errors: dict[str, SpecError] = {}
    for path, detail in located:
        if detail["type"] == "extra_forbidden":
            error, meant = _unknown_key(path, missing, raw)
            missing -= {meant} if meant else set()
            _keep(errors, error)
    for path, detail in located:
        if detail["type"] != "extra_forbidden" and (detail["type"] != "missing" or path in missing):
            _keep(errors, _error(path, detail, raw))
    return list(errors.values())


def _keep(errors: dict[str, SpecError], error: SpecError) -> None:
    """One error per place: of the branches of a choice, `a number, or one of …`."""
    before = errors.get(error.pointer)
    if before is None or before.detail == error.detail:
        errors[error.pointer] = error
        return
    allowed = before.allowed or error.allowed
    suggestion = before.suggestion or error.suggestion
    detail = f"{before.detail}; or: {error.detail}"
    errors[error.pointer] = SpecError(error.pointer, before.code, detail, allowed, suggestion)


def _path(detail: ErrorDetails, raw: object) -> Path:
    """The error's place in what was sent: pydantic's location without the tags of unions, which are no keys."""
    path: list[str | int] = []
    value: Any = raw
    for position, key in enumerate(detail["loc"]):
        if _has(value, key):
            value = value[key]
        elif not (detail["type"] == "missing" and position == len(detail["loc"]) - 1):
            continue
        path.append(key)
    return tuple(path)


def _has(value: object, key: str | int) -> bool:
    if isinstance(key, int):
        return isinstance(value, list | tuple) and key < len(value)
    return isinstance(value, Mapping) and key in value


def _is_other_branch(path: Path, located: Sequence[tuple[Path, ErrorDetails]], raw: object) -> bool:
    """Whether this error is about a branch of a choice that was clearly not the one meant: another one has an error
    further in.
    """
    if not isinstance(_value_at(path, raw), list | tuple):
        return False
    return any(len(other) > len(path) and other[: len(path)] == path for other, _ in located)


def _value_at(path: Path, raw: object) -> Any:
    value: Any = raw
    for key in path:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _unknown_key(path: Path, missing: set[Path], raw: object) -> tuple[SpecError, Path | None]:
    parent, key = path[:-1], str(path[-1])
    known = fields_of(_schema_at(parent, raw))
    needed = [str(other[-1]) for other in missing if other[:-1] == parent]
    present = _value_at(parent, raw)
    free = [name for name in known if name not in present]
    meant = _meant(key, needed, _OTHER_KEYS) or _meant(key, free, _OTHER_KEYS)
    detail = f"Unknown key; did you mean `{meant}`?" if meant else "Unknown key" + _elsewhere(parent, key, present)
    return SpecError(pointer_to(path), "unknown_key", detail, known, meant), (*parent, meant) if meant else None


def _elsewhere(parent: Path, key: str, present: Mapping[str, object]) -> str:
    """Where a key belongs that is right in another family, or for another technique of the same one."""
    owners = _owners(key)
    word = present.get("type")
    own = next((family for family, types in owners.items() if word in types), None)
    if own is not None:
        return f": `{word}` has `{key}` in the job's own `{own}`, not here"
    if parent and parent[0] in owners:
        types = [f"`{name}`" for name in owners[str(parent[0])]]
        return f": `{key}` is for " + ", ".join(types[:5]) + (" and others" if len(types) > 5 else "")
    return next((f": `{key}` belongs to `{family}`" for family in owners), "")


def _owners(key: str) -> dict[str, list[str]]:
    """Family → its techniques that have this key; none where the family is one thing."""
    owners: dict[str, list[str]] = {}
    for family, node in job_spec_schema()["properties"].items():
        entries = [entry for option in alternatives(node) for entry in alternatives(option.get("items", option))]
        for option in entries:
            if key in fields_of(option):
                owners.setdefault(family, []).extend(types_of(option))
    return owners


def _schema_at(path: Path, raw: object) -> Node:
    node: Node = job_spec_schema()
    value: Any = raw
    for key in path:
        node = _step(_chosen(node, value), key)
        value = value[key]
    return _chosen(node, value)


def _chosen(node: Node, value: object) -> Node:
    """The branch of a union that this value takes."""
    options = alternatives(node)
    if isinstance(value, Mapping):
        tag = value.get("type")
        options = [option for option in options if "properties" in option] or options
        tagged = [option for option in options if isinstance(tag, str) and ALIASES.get(tag, tag) in types_of(option)]
        if not tagged:
            tagged = sorted(options, key=lambda option: -len(set(fields_of(option)) & set(value)))
        return tagged[0]
    if isinstance(value, list | tuple):
        return next((option for option in options if option.get("type") == "array"), options[0])
    return options[0]


def _step(node: Node, key: str | int) -> Node:
    if isinstance(key, str):
        field: Node = node.get("properties", {}).get(key, {})
        return field
    places: list[Node] = node.get("prefixItems", [])
    items: Node = node.get("items", {})
    return places[key] if key < len(places) else items


def _error(path: Path, detail: ErrorDetails, raw: object) -> SpecError:
    match detail["type"]:
        case "missing" if isinstance(path[-1], int):
            return SpecError(pointer_to(path[:-1]), "too_short", f"It should have at least {path[-1] + 1} values")
        case "missing":
            return SpecError(pointer_to(path), "missing", f"`{path[-1]}` is needed")
        case "union_tag_not_found":
            return _missing_type(path, raw)
        case "union_tag_invalid":
            return _unknown_type(path, raw)
        case "literal_error" | "enum":
            return _unknown_word(path, raw)
        case "less_than_equal" if detail.get("ctx", {}).get("le") == MAX_WIDTH:
            return _too_wide(path, raw)
        case "too_long" if (context := detail["ctx"])["field_type"] == "Tuple":
            words = f"At most {context['max_length']:,} entries, not {context['actual_length']:,}"
            return SpecError(pointer_to(path), "too_long", words)
        case "model_type" | "model_attributes_type" | "dict_type":
            return SpecError(pointer_to(path), "type", "An object is needed here")
        case code:
            return SpecError(pointer_to(path), code, detail["msg"].replace("Input should be", "It should be"))


def _types_at(path: Path, raw: object) -> list[str]:
    node = _step(_schema_at(path[:-1], raw), path[-1])
    types = [name for option in alternatives(node) for name in types_of(option)]
    return [*types, *(alias for alias, name in ALIASES.items() if name in types)]


def _missing_type(path: Path, raw: object) -> SpecError:
    allowed = _types_at(path, raw)
    value = _value_at(path, raw)
    near = closest("type", [key for key in value if key != "type"]) if isinstance(value, Mapping) else None
    if near:
        return SpecError(pointer_to((*path, near)), "unknown_key", "Unknown key; did you mean `type`?", allowed, "type")
    return SpecError(pointer_to((*path, "type")), "missing", "`type` is needed: it names the technique", allowed)


def _unknown_type(path: Path, raw: object) -> SpecError:
    types = _types_at(path, raw)
    word = _value_at((*path, "type"), raw)
    near = _meant(word, types, _OTHER_NAMES) if isinstance(word, str) else None
    detail = f"Unknown type; did you mean `{near}`?" if near else "Unknown type"
    return SpecError(pointer_to((*path, "type")), "unknown_type", detail, types, near)


_OTHER_NAMES = {
    "he": "he_normal",
    "kaiming": "kaiming_normal",
    "xavier": "xavier_normal",
    "glorot": "glorot_uniform",
    "linear": "dense",
    "fully_connected": "dense",
    "conv2d": "conv",
    "maxpool": "max_pooling",
    "maxpool2d": "max_pooling",
    "avgpool2d": "average_pooling",
    "sgdr": "cosine_warm_restarts",
    "reduce_on_plateau": "plateau",
    "elastic_net": "l1_l2",
    "nll": "cross_entropy",
    "bce": "binary_cross_entropy",
    "convnet": "cnn",
    "exponential_moving_average": "ema",
    "stochastic_weight_averaging": "swa",
    "reducelronplateau": "plateau",
    "clipnorm": "norm",
    "clipvalue": "value",
    "agc": "adaptive",
    "autoclip": "percentile",
    "noise": "gaussian_noise",
    "translation": "shift",
    "mean_squared_error": "mse",
    "mean_absolute_error": "mae",
}

_OTHER_KEYS = {
    "lr": "learning_rate",
    "eps": "epsilon",
    "wd": "weight_decay",
    "units": "width",
    "hidden_size": "width",
    "num_layers": "layers",
    "degrees": "rotation",
    "p": "rate",
    "lambda": "weight",
    "accumulation": "accumulate",
}


def _meant(word: str, known: Sequence[str], others: Mapping[str, str]) -> str | None:
    """`others` are the names that other tools have for what is known here."""
    plain = word.lower().replace("-", "_").removeprefix("random_")
    return next((name for name in (plain, others.get(plain)) if name in known), None) or closest(word, known)


def _unknown_word(path: Path, raw: object) -> SpecError:
    node = _step(_schema_at(path[:-1], raw), path[-1])
    allowed: list[str | int | float] = []
    for option in alternatives(node):
        allowed += option.get("enum", [option["const"]] if "const" in option else [])
    word = _value_at(path, raw)
    words = [name for name in allowed if isinstance(name, str)]
    near = closest(word, words) if isinstance(word, str) else None
    listed = ", ".join(f"`{name}`" for name in allowed)
    detail = f"One of {listed}" if len(allowed) > 1 else f"Only {listed} is possible here"
    return SpecError(pointer_to(path), "not_allowed", detail, allowed, near)


def _too_wide(path: Path, raw: object) -> SpecError:
    gigabytes = int(_value_at(path, raw)) * 4 / 1e9
    detail = (
        f"At most {MAX_WIDTH:,}. The weights of a layer this wide need {gigabytes:,.3g} GB "
        "for every single unit of the layer before it"
    )
    return SpecError(pointer_to(path), "too_large", detail)
