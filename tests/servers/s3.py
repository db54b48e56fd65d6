"""An S3 server of the tests' own: OpenStack Swift with its S3 API, one node on loopback, no root.

It checks signatures, expiry and conditions as a real store does, which mocks of S3 do not. It is large, and the service
needs none of it, so it is installed on demand into an environment of its own, `.venv-swift`.
"""

import os
import secrets
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from configparser import RawConfigParser
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import obstore
from obstore.store import S3Store
from tenacity import Retrying, stop_after_delay, wait_fixed

from tests.environments import NotInstalled, environment
from tests.servers.process import ServerMissing, free_port, running

MISSING = (
    "no S3 server here: {reason}; "
    "or name a server in TRAINWRIGHT_TEST_S3_URL as http://key:secret@host:port/bucket?region=us-east-1"
)
PINS = Path(__file__).with_name("swift.txt")
REGION = "us-east-1"
ACCESS_KEY, SECRET_KEY = "test:tester", "testing"
STORES = ("account", "container", "object")
FILTERS = ("catch_errors", "gatekeeper", "listing_formats", "bulk", "s3api", "tempauth", "copy", "slo", "dlo",
           "versioned_writes", "symlink")  # fmt: skip


@dataclass(frozen=True)
class S3:
    """A bucket, and under `prefix` a place in it that nobody else uses."""

    endpoint: str
    bucket: str
    access_key: str
    secret_key: str
    region: str
    prefix: str = ""

    @property
    def url(self) -> str:
        """As a setting of the service names it."""
        return f"s3://{self.bucket}/{self.prefix}"

    def with_new_prefix(self) -> "S3":
        return replace(self, prefix=secrets.token_hex(8))


@contextmanager
def s3_server() -> Iterator[S3]:
    """The bucket that TRAINWRIGHT_TEST_S3_URL names, otherwise one on a server of our own."""
    if named := os.environ.get("TRAINWRIGHT_TEST_S3_URL"):
        yield _parse(named)
        return
    python = install()
    with tempfile.TemporaryDirectory(prefix="trainwright-s3-") as name, ExitStack() as stack:
        folder = Path(name)
        ports = {server: free_port() for server in (*STORES, "proxy")}
        _configure(folder, ports)
        _build_rings(python, folder, ports)
        for server, port in ports.items():
            stack.enter_context(_running(python, folder, server, port))
        s3 = S3(f"http://127.0.0.1:{ports['proxy']}", "tests", ACCESS_KEY, SECRET_KEY, REGION)
        _create_bucket(s3)
        yield s3


def install() -> Path:
    """The Python of Swift's own environment."""
    try:
        return environment(".venv-swift", PINS)
    except NotInstalled as reason:
        raise ServerMissing(MISSING.format(reason=reason)) from None


def _configure(folder: Path, ports: dict[str, int]) -> None:
    (folder / "devices" / "disk").mkdir(parents=True)
    _write(folder / "swift.conf", {
        "swift-hash": {"swift_hash_path_prefix": "test", "swift_hash_path_suffix": "test"},
        "storage-policy:0": {"name": "default", "default": "yes"},
    })  # fmt: skip
    for server in STORES:
        _write(folder / f"{server}.conf", {
            "DEFAULT": _common(folder, ports[server]),
            "pipeline:main": {"pipeline": f"{server}-server"},
            f"app:{server}-server": {"use": f"egg:swift#{server}"},
        })  # fmt: skip
    filters = {f"filter:{name}": {"use": f"egg:swift#{name}"} for name in FILTERS}
    filters["filter:s3api"] |= {"location": REGION, "min_segment_size": "5242880"}
    filters["filter:tempauth"] |= {"user_test_tester": f"{SECRET_KEY} .admin"}
    filters["filter:versioned_writes"] |= {"allow_object_versioning": "true"}
    _write(folder / "proxy.conf", {
        "DEFAULT": _common(folder, ports["proxy"]),
        "pipeline:main": {"pipeline": " ".join((*FILTERS, "proxy-server"))},
        "app:proxy-server": {"use": "egg:swift#proxy", "account_autocreate": "true"},
        **filters,
    })  # fmt: skip


def _common(folder: Path, port: int) -> dict[str, str]:
    import pwd  # absent on Windows

    return {
        "bind_ip": "127.0.0.1",
        "bind_port": str(port),
        "swift_dir": str(folder),
        "devices": str(folder / "devices"),
        "user": pwd.getpwuid(os.getuid()).pw_name,
        "workers": "0",  # in the process that we started, so that its pid is all there is to end
        "mount_check": "false",
        "disable_fallocate": "true",
        "log_level": "WARNING",
    }


def _write(path: Path, sections: dict[str, dict[str, str]]) -> None:
    config = RawConfigParser()
    config.read_dict(sections)
    with path.open("w") as file:
        config.write(file)


def _build_rings(python: Path, folder: Path, ports: dict[str, int]) -> None:
    """Tell Swift where everything lies: 2⁴ partitions, one copy, one disk."""
    for server in STORES:
        device = [
            "--region",
            "1",
            "--zone",
            "1",
            "--ip",
            "127.0.0.1",
            "--port",
            str(ports[server]),
            "--device",
            "disk",
            "--weight",
            "1",
        ]
        for step in (["create", "4", "1", "0"], ["add", *device], ["rebalance"]):
            subprocess.run(
                [python.with_name("swift-ring-builder"), folder / f"{server}.builder", *step],
                stdin=subprocess.DEVNULL, capture_output=True, check=True,
            )  # fmt: skip


@contextmanager
def _running(python: Path, folder: Path, server: str, port: int) -> Iterator[None]:
    """One of Swift's four servers. Its own commands read /etc/swift, so its main function is called with our folder."""
    start = (
        "import importlib, sys, swift.common.utils as utils\n"
        f"utils.SWIFT_CONF_FILE = {str(folder / 'swift.conf')!r}\n"
        "utils.validate_configuration()\n"
        f"sys.argv = ['swift-{server}-server', {str(folder / f'{server}.conf')!r}, '-v']\n"
        f"sys.exit(importlib.import_module('swift.{'obj' if server == 'object' else server}.server').main())\n"
    )
    with running([python, "-c", start], log=folder / f"{server}.log", is_ready=lambda: _listens(port)):
        yield


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _create_bucket(s3: S3) -> None:
    """A signed `PUT /bucket`; the service itself never creates one, and its client library cannot."""
    root = S3Store(
        s3.bucket, endpoint=s3.endpoint, region=s3.region, access_key_id=s3.access_key, secret_access_key=s3.secret_key,
        client_options={"allow_http": True},
    )  # fmt: skip
    for attempt in Retrying(stop=stop_after_delay(30), wait=wait_fixed(0.5), reraise=True):
        with attempt:  # on a busy machine its parts may not hear each other at first
            httpx.put(obstore.sign(root, "PUT", "", timedelta(minutes=1)), timeout=15).raise_for_status()


def _parse(url: str) -> S3:
    parts = urlsplit(url)
    endpoint = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
    region = parse_qs(parts.query).get("region", [REGION])[0]
    return S3(endpoint, parts.path.strip("/"), unquote(parts.username or ""), unquote(parts.password or ""), region)
