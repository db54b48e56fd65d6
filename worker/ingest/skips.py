"""What was left out of a data set, and why."""

from models.spec.manifest import Skipped
from worker.ingest.errors import printable

MAX_LISTED = 100


class Skips:
    """Keeps the first hundred things left out, and counts them all."""

    def __init__(self) -> None:
        self._listed: list[Skipped] = []
        self.total = 0

    def add(self, entry: str, reason: str) -> None:
        """Remember one thing that is not in the packed form."""
        self.total += 1
        if len(self._listed) < MAX_LISTED:
            self._listed.append(Skipped(entry=printable(entry), reason=printable(reason)))

    @property
    def listed(self) -> tuple[Skipped, ...]:
        """The first hundred, in the order they were met."""
        return tuple(self._listed)
