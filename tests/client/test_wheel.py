import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
USE = """
import sys, trainwright, trainwright.spec
spec = trainwright.spec.JobSpec.model_validate(
    {"dataset": {"id": "ds_" + "0" * 32}, "network": {"type": "mlp"}, "training": {"epochs": 1}})
trainwright.Client("http://127.0.0.1:9").close()
assert not {"torch", "fastapi", "sqlalchemy", "celery", "models", "client"} & set(sys.modules)
print(trainwright.__version__)
"""


def copy_sources(target: Path) -> Path:
    """What the wheel is made of; a build leaves its litter there and not in the checkout."""
    for name in ("client", "models/spec"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ROOT.iterdir():
        if file.is_file():
            shutil.copy(file, target)
    return target


def test_the_wheel_works_alone(tmp_path: Path) -> None:
    """Installed into a folder of its own, with nothing of the checkout in sight."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [
        "wheel",
        copy_sources(tmp_path / "source"),
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        tmp_path / "wheels",
    ]
    subprocess.run([*pip, *map(str, build)], check=True)
    (wheel,) = (tmp_path / "wheels").iterdir()
    subprocess.run([*pip, "install", "--no-deps", "--target", tmp_path / "site", wheel], check=True)
    used = subprocess.run(
        [sys.executable, "-P", "-c", USE], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert used.returncode == 0, used.stderr
    command = subprocess.run(
        [sys.executable, "-P", "-m", "trainwright.command_line", "--version"], cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site")}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert command.stdout.split() == ["trainwright", used.stdout.strip()]
    assert (tmp_path / "site" / "bin" / "trainwright").exists()
    assert wheel.name.split("-")[1] == used.stdout.strip()
