"""Every technique of the catalogue, turned on in a run of six steps on little data: how much it changes the run.

Writes the table of docs/reference/techniques-measured.md. The same runs are the test of the whole catalogue.
"""

import sys
import tempfile
from pathlib import Path

import torch

from tests.worker.training.turned_on import case_of, effect, names, pack

PAGE = Path(__file__).parents[1] / "docs/reference/techniques-measured.md"
HEAD = """# Every technique, measured

Each technique of the catalogue is turned on in a run of six steps on little data, and the run is compared with the same
one without it: how far the final weights lie apart, in lengths of the weights without it; or, where the weights have
other shapes, by how much the validation loss differs. This tells that a technique acts, and nothing about how good it
is. A test fails if one of them changes nothing. Written by `python -m benchmarks.techniques` with torch {torch}.
"""


def table() -> str:
    with tempfile.TemporaryDirectory() as folder:
        places = pack(Path(folder))
        rows = [(family, name, *effect(places, family, name)) for family, name in names()]
    lines = ["| family | technique | what changed | by | data |", "|---|---|---|---|---|"]
    lines += [
        f"| {family} | `{name}` | {what} | {much:.2g} | {case_of(family, name).data} |"
        for family, name, what, much in rows
    ]
    families = len({family for family, *_ in rows})
    acting = sum(much > 0.0 for *_, much in rows)
    return "\n".join(lines) + f"\n\n{len(rows)} techniques in {families} families; {acting} of them change the run.\n"


def main() -> None:
    torch.set_num_threads(1)
    text = f"{HEAD.format(torch=torch.__version__.split('+')[0])}\n{table()}"
    PAGE.write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
