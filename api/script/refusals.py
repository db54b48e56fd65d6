"""What a script can't do."""

from dataclasses import dataclass, field


@dataclass
class Refusals:
    """Collected while a script is written: pointers into the resolved spec, and what stands there."""

    found: list[tuple[str, str]] = field(default_factory=list)

    def refuse(self, pointer: str, detail: str) -> None:
        self.found.append((pointer, detail))

    def unless(self, is_written: bool, pointer: str, detail: str) -> None:
        if not is_written:
            self.refuse(pointer, detail)


class CannotWrite(ValueError):
    """A script in plain PyTorch would not do what the job did."""

    def __init__(self, refusals: Refusals) -> None:
        self.refusals = tuple(refusals.found)
        super().__init__("; ".join(f"{pointer}: {detail}" for pointer, detail in self.refusals))
