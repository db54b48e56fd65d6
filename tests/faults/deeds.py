"""What a punisher and its clients are to do: drawn from a seed, or read from what an earlier run has written down."""

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
PUNISHMENTS = {
    "kill_a_worker": 4,
    "stop_a_worker": 2,
    "ask_a_worker_to_leave": 2,
    "kill_a_trainer": 3,
    "kill_a_forkserver": 1,
    "stop_a_trainer": 1,
    "kill_the_api": 2,
    "stop_the_api": 1,
    "reset_the_database": 2,
    "swallow_the_database": 1,
    "crash_the_database": 1,
    "kill_the_broker": 1,
    "swallow_the_broker": 1,
}
"""How often each is chosen, compared with the others."""


@dataclass(frozen=True)
class Deed:
    """One thing that somebody does."""

    at: float
    """Seconds from the beginning. Whoever is late does it at once."""
    who: str
    what: str
    which: float = 0.0
    """Of those there are, as a share: 0 is the first, just below 1 the last."""
    seconds: float = 0.0
    """How long, of what takes time."""


def drawn(seed: int, seconds: float, clients: int) -> list[Deed]:
    """What happens in so many seconds, in the order of time."""
    actors = [_punishments(random.Random(f"{seed}-punisher"), seconds)]
    actors += [
        _requests(f"client-{number}", random.Random(f"{seed}-client-{number}"), seconds) for number in range(clients)
    ]
    return sorted((deed for deeds in actors for deed in deeds), key=lambda deed: deed.at)


def _punishments(chance: random.Random, seconds: float) -> Iterator[Deed]:
    at = chance.uniform(0.5, 4)
    while at < seconds:
        (what,) = chance.choices(list(PUNISHMENTS), weights=list(PUNISHMENTS.values()))
        lasts = chance.uniform(0.5, 5) if what.startswith(("stop", "swallow")) else 0.0
        yield Deed(at, "punisher", what, chance.random(), lasts)
        at += lasts + chance.uniform(0.5, 6)


def _requests(who: str, chance: random.Random, seconds: float) -> Iterator[Deed]:
    at = chance.uniform(0.5, 2.5)
    while at < seconds:
        yield Deed(at, who, "post", chance.random())
        if chance.random() < 0.15:
            yield Deed(at, who, "cancel", chance.random())
        yield Deed(at, who, "list")
        at += chance.uniform(1.5, 5)


def by(who: str, deeds: Iterable[Deed]) -> list[Deed]:
    return [deed for deed in deeds if deed.who == who]


def picked(items: Sequence[Item], which: float) -> Item:
    return items[int(which * len(items))]


def write_deeds(file: Path, deeds: Iterable[Deed]) -> None:
    """One a line, as JSON."""
    file.write_text("".join(json.dumps(asdict(deed)) + "\n" for deed in deeds))


def read_deeds(file: Path) -> list[Deed]:
    return [Deed(**json.loads(line)) for line in file.read_text().splitlines()]
