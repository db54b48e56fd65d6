"""How a command ends, for scripts."""

from enum import IntEnum

__all__ = ["Exit"]


class Exit(IntEnum):
    """Exit codes."""

    SUCCEEDED = 0
    ERROR = 1
    USAGE = 2
    CANCELLED = 3
    AUTHENTICATION = 4
    JOB_FAILED = 5
    TIMED_OUT = 6
    DETACHED = 130
