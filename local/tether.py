"""Run a command that ends when the process that started it does, even if that one is killed.

    python -I tether.py PARENT_PID COMMAND [ARGUMENT…]

On Linux the kernel does it (`PR_SET_PDEATHSIG`, which survives the exec, so nothing of this stays in memory). Elsewhere
this process stays between the two, passes signals on, and looks twice a second whether its parent is still there.
Only the standard library is used, and little of it: the command starts some 15 ms later.
"""

import ctypes
import os
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
LOOK_SECONDS = 0.5


def main(parent: int, command: list[str]) -> int:
    if sys.platform == "linux":
        bind_to_parent()
        if os.getppid() == parent:  # it may have died before we were bound
            os.execv(command[0], command)  # noqa: S606
        return 1
    return watch(parent, command)


def bind_to_parent() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def watch(parent: int, command: list[str]) -> int:
    child = os.spawnv(os.P_NOWAIT, command[0], command)  # noqa: S606
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, lambda passed, _frame: os.kill(child, passed))
    while os.getppid() == parent:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return abs(os.waitstatus_to_exitcode(status))
        time.sleep(LOOK_SECONDS)
    os.kill(child, signal.SIGKILL)
    return 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
