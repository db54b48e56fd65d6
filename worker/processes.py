"""What processes of ours ask of the kernel; where it is not Linux they go without.

No process outlives the one it works for: where the kernel does not see to it, the end of a pipe does, a little later.
"""

import ctypes
import signal
import sys

PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15


def die_with_parent() -> None:
    """Be killed the moment the parent ends, however it ends."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def call_oneself(name: str) -> None:
    """Be shown under this name, of at most 15 bytes, by `top` and `ps -o comm`."""
    _prctl(PR_SET_NAME, name.encode())


def _prctl(option: int, argument: int | bytes) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, argument, 0, 0, 0)
