"""What went wrong, in a few lines on standard error, and the exit code that says so to scripts."""

import sys
from typing import TYPE_CHECKING

from .exits import Exit

if TYPE_CHECKING:
    from ..errors import APIError

__all__ = ["Refused", "tell"]


class Refused(Exception):
    """The command cannot do this; the message says why."""


def tell(error: Exception) -> Exit | None:
    """Say it, if it is something that can be said to a user; None if it is a bug."""
    if isinstance(error, BrokenPipeError):  # whoever read our output has seen enough
        sys.stdout = None
        return Exit.SUCCEEDED
    if isinstance(error, Refused | OSError):
        _say(str(error))
        return Exit.ERROR
    return _tell_of_service(error)


def _tell_of_service(error: Exception) -> Exit | None:
    from ..errors import APIError, AuthenticationError, JobFailed, PermissionDenied, TrainwrightError, WaitTimedOut

    match error:
        case AuthenticationError():
            _say(f"{_sentence(error)}\nTry `trainwright login`; `trainwright doctor` shows which key is used.")
            return Exit.AUTHENTICATION
        case PermissionDenied():
            _say(_sentence(error))
            return Exit.AUTHENTICATION
        case WaitTimedOut():
            _say(f"{error}; it goes on")
            return Exit.TIMED_OUT
        case JobFailed():
            _say(str(error))
            return Exit.CANCELLED if error.job.status == "cancelled" else Exit.JOB_FAILED
        case APIError():
            _say("\n".join([_sentence(error), *_items(error)]))
            return Exit.ERROR
        case TrainwrightError():
            _say(str(error))
            return Exit.ERROR
        case _:
            return None


def _sentence(error: "APIError") -> str:
    return f"{error.detail} ({error.status}, request {error.request_id})" if error.request_id else error.detail


def _items(error: "APIError") -> list[str]:
    return [f"  {item.pointer or item.parameter or 'body'}: {item.detail}" for item in error.errors]


def _say(text: str) -> None:
    from .session import plain

    sys.stderr.write(f"error: {plain(text)}\n")
