"""What can be known of the images and of docker-compose.yml without a container engine."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from models.settings import Settings

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
ONE_SHOTS = {"migrate"}

each_service = pytest.mark.parametrize("service", COMPOSE["services"].values(), ids=COMPOSE["services"].keys())


@each_service
def test_no_service_is_root(service: dict[str, Any]) -> None:
    assert int(service["user"].split(":")[0]) > 0
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service.get("privileged")


@each_service
def test_every_root_is_read_only_and_tmp_is_in_memory(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert "/tmp" in service["tmpfs"]


@each_service
def test_every_image_has_a_version(service: dict[str, Any]) -> None:
    name, _, version = service["image"].partition(":")
    assert name
    assert version not in ("", "latest")


@pytest.mark.parametrize("name", [name for name in COMPOSE["services"] if name not in ONE_SHOTS])
def test_every_lasting_service_says_whether_it_is_well(name: str) -> None:
    assert COMPOSE["services"][name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")


@each_service
def test_whom_a_service_waits_for_it_waits_for_to_be_ready(service: dict[str, Any]) -> None:
    for name, how in service.get("depends_on", {}).items():
        expected = "service_completed_successfully" if name in ONE_SHOTS else "service_healthy"
        assert how["condition"] == expected


def test_only_the_api_is_published_and_only_to_this_machine() -> None:
    published = {name: service["ports"] for name, service in COMPOSE["services"].items() if "ports" in service}
    assert published == {"api": ["${API_ADDRESS:-127.0.0.1}:${API_PORT:-8000}:8000"]}


def test_stores_and_workers_cannot_reach_the_world() -> None:
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert {name for name, service in COMPOSE["services"].items() if service["networks"] != ["inside"]} == {"api"}


def test_volumes_are_declared() -> None:
    used = {volume.split(":")[0] for service in COMPOSE["services"].values() for volume in service.get("volumes", [])}
    assert used == COMPOSE["volumes"].keys()


@each_service
def test_every_setting_exists(service: dict[str, Any]) -> None:
    names = {name for name in service.get("environment", {}) if name.startswith("TRAINWRIGHT_")}
    assert names <= {f"TRAINWRIGHT_{field}".upper() for field in Settings.model_fields}


def test_the_settings_are_ones_the_service_starts_with(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in COMPOSE["services"]["worker"]["environment"].items():
        monkeypatch.setenv(name, re.sub(r"\$\{[^}]+\}", "secret", value))
    assert Settings().is_sqlite is False


def test_no_secret_has_a_default_and_the_example_names_each() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    secrets = set(re.findall(r"\$\{(\w*(?:PASSWORD|KEY)\w*)", text))
    assert secrets == set(re.findall(r"\$\{(\w+):\?", text))
    assert secrets == set(re.findall(r"^(\w+)=$", (ROOT / ".env.example").read_text(), re.MULTILINE))


def test_a_worker_has_the_time_to_save_its_jobs() -> None:
    grace = int(COMPOSE["services"]["worker"]["stop_grace_period"].removesuffix("s"))
    assert grace > Settings.model_fields["drain_seconds"].default


@pytest.mark.parametrize("target", ["api", "worker"])
def test_images_run_as_a_user_by_number(target: str) -> None:
    assert re.search(r"^USER (\d+):(\d+)$", stage(target), re.MULTILINE)


def test_the_api_image_has_no_torch_and_no_worker() -> None:
    assert "install-api" in stage("api")
    assert "COPY worker" not in stage("api")
    assert "--group api" in stage("install-api")


def test_images_are_installed_from_the_pins_and_compile_nothing() -> None:
    installs = re.findall(r"pip install .*", DOCKERFILE)
    assert all("--constraint constraints.txt" in install and "--no-cache-dir" in install for install in installs)
    packages = r"apt-get|build-essential|gcc|g\+\+"
    assert not any(
        re.search(packages, stage(name)) for name in ("base", "install", "install-api", "install-worker", "api")
    )


def test_only_a_worker_that_is_to_compile_has_a_compiler() -> None:
    assert "ARG COMPILER=\n" in stage("worker")
    assert re.search(r'if \[ -n "\$COMPILER" \]; then +apt-get', stage("worker"))
    compiles = {
        name for name, one in COMPOSE["services"].items() if "COMPILER" in (one.get("build") or {}).get("args", {})
    }
    assert compiles == {"worker-gpu"}


@pytest.mark.parametrize("target", ["api", "worker"])
def test_what_an_image_copies_is_sent_to_the_builder(target: str) -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        name for line in re.findall(r"^COPY (?!--)(.*) \S+$", stage(target), re.MULTILINE) for name in line.split()
    }
    assert copied <= allowed
    assert all((ROOT / name).exists() for name in copied)


def stage(name: str) -> str:
    """The part of the Dockerfile that makes the stage `name`."""
    found = re.search(rf"^FROM \S+ AS {name}\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert found, f"no stage {name}"
    return found[1]
