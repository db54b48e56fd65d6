"""The service beside other work of this process, in a thread of its own."""

from threading import Event, Thread
from types import TracebackType

from local.service import CannotStart, Running, Service

LOOK_SECONDS = 0.1


class Background:
    """Runs a service until the block ends; entering waits until it is up."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._up = Event()
        self._running: Running | None = None
        self._failure: Exception | None = None
        self._thread = Thread(target=self._run, name="service")

    def __enter__(self) -> "Background":
        self._thread.start()
        try:
            while not self._up.wait(LOOK_SECONDS):
                self.check()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def running(self) -> Running:
        assert self._running is not None, "it is up inside the block"
        return self._running

    def check(self) -> None:
        """Raise what ended the service, if something has."""
        if not self._thread.is_alive():
            raise self._failure or CannotStart("The service has stopped.")

    def wait(self) -> None:
        """Until the service ends."""
        while self._thread.is_alive():
            self._thread.join(LOOK_SECONDS)
        self.check()

    def _run(self) -> None:
        try:
            self._service.run(self._is_up)
        except Exception as error:  # noqa: BLE001
            self._failure = error  # raised by `check`, in the thread that waits

    def _is_up(self, running: Running) -> None:
        self._running = running
        self._up.set()

    def _stop(self) -> None:
        self._service.stopping.set()
        self._thread.join()
