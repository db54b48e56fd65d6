"""Run the service in the foreground, until Ctrl-C or SIGTERM."""

import signal
import sys
from pathlib import Path
from types import FrameType

from local.folder import DataFolder, InUse
from local.service import CannotStart, Running, Service
from local.supervisor import ChildFailed


def main(data: Path, port: int | None) -> int:
    """The process's exit code."""
    folder = DataFolder(data)
    service = Service(folder, port=port, say=say)
    stop_on_signals(service)
    say(f"Starting on the data folder {folder.root} …")
    try:
        service.run(lambda running: announce(running, folder))
    except (InUse, CannotStart, ChildFailed, PermissionError) as error:
        say(f"error: {error}")
        return 1
    say("Stopped.")
    return 0


def stop_on_signals(service: Service) -> None:
    """The first signal stops the service in order, the second one at once."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        if service.stopping.is_set():
            service.hurry.set()
        else:
            service.stopping.set()
            say("\nStopping: jobs are saved and go on at the next start. (Ctrl-C again to stop at once.)")

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)


def announce(running: Running, folder: DataFolder) -> None:
    if running.key_is_new:
        say(f"API key, shown this once: {running.api_key}")
    say(
        f"Trainwright is up: {running.url} (what it can do: {running.url}/openapi.json)\n"
        f"Open it in a browser, signed in: {running.page_url} (works once, for a day)\n"
        f"  export TRAINWRIGHT_URL={running.url}\n"
        f'  export TRAINWRIGHT_API_KEY="$(cat "{running.api_key_file}")"\n'
        f"Logs: {folder.logs}. Ctrl-C stops it."
    )


def say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
