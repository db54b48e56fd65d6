"""What a caller may ask of a run while it runs; the loop looks at every step's end."""

from collections.abc import Callable


class Control:
    """Requests, from any thread or signal handler."""

    def __init__(self, after_step: Callable[[], None] = lambda: None) -> None:
        self.after_step = after_step
        self.checkpoint_requested = False
        self.stop_requested = False

    def request_checkpoint(self) -> None:
        """A `CheckpointReady` at the end of the current step."""
        self.checkpoint_requested = True

    def request_stop(self) -> None:
        """A `CheckpointReady` at the end of the current step, and nothing after it."""
        self.stop_requested = True
