import pytest
from PIL import Image

from client import AsyncClient
from tests.client.command_line.conftest import DIGITS, Shell
from tests.local.machine import Machine

SPEC = {
    "network": {"type": "mlp", "hidden": [64] * 12},
    "initialization": {"type": "normal", "std": 0.01},
    "augmentation": [{"type": "horizontal_flip"}],
    "schedule": {"type": "cosine"},
}


def test_a_spec_is_previewed(shell: Shell) -> None:
    spec = shell.write_spec(**SPEC)
    done = shell.run("preview", spec, "--data", DIGITS, "--augmentation", "examples.png")
    assert done.returncode == 0, done.stderr
    for said in ("▇", "vanishing", "hidden.11", "kaiming_normal", "horizontal_flip"):
        assert said in done.stdout
    with Image.open(shell.home / "examples.png") as examples:
        assert examples.size == (796, 196)


def test_what_could_not_run_is_shown_where_it_stands(shell: Shell) -> None:
    done = shell.run("preview", shell.write_spec(schedule={"type": "cosin"}), "--data", DIGITS)
    assert (done.returncode, "/schedule/type" in done.stderr) == (1, True)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_async_code_asks_as_well(shell: Shell, machine: Machine) -> None:
    import asyncio

    found = shell.read("preview", shell.write_spec(**SPEC), "--data", DIGITS)
    assert found["schedule"]["result"]["total_steps"] == found["schedule"]["result"]["steps"][-1]

    async def again() -> str:
        async with AsyncClient(machine.url, machine.api_key) as client:
            spec = {**SPEC, "dataset": {"id": found["schedule"]["dataset_id"], "validation": {"split": "test"}}}
            preview = await client.previews.schedule({**spec, "training": {"epochs": 2}}, timeout=60)
        return preview.id

    assert asyncio.run(again()) == found["schedule"]["id"]
