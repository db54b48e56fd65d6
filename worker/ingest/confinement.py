"""What a process gives up before it looks at a stranger's file: memory, time, the network, other programs."""

import ctypes
import errno
import os
import platform
import resource
import signal
import struct
import sys

from worker.ingest.limits import GIB, Limits

OPEN_FILES = 64
ADDRESS_SPACE = 2 * GIB

_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2

_LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_JUMP_BITS = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_ALLOW = 0x7FFF0000
_KILL = 0x80000000
_FAIL = 0x00050000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_X32 = 0x40000000

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# fmt: off
_DENIED = {
    "x86_64": {
        "socket": 41, "connect": 42, "accept": 43, "sendto": 44, "sendmsg": 46, "bind": 49, "listen": 50,
        "socketpair": 53, "accept4": 288, "sendmmsg": 307, "fork": 57, "vfork": 58, "execve": 59, "execveat": 322,
        "kill": 62, "ptrace": 101, "link": 86, "symlink": 88, "mknod": 133, "linkat": 265, "symlinkat": 266,
        "mknodat": 259, "pivot_root": 155, "chroot": 161, "mount": 165, "umount2": 166, "kexec_load": 246,
        "init_module": 175, "finit_module": 313, "delete_module": 176, "add_key": 248, "request_key": 249,
        "keyctl": 250, "unshare": 272, "setns": 308, "perf_event_open": 298, "process_vm_readv": 310,
        "process_vm_writev": 311, "bpf": 321, "userfaultfd": 323, "io_uring_setup": 425, "io_uring_enter": 426,
        "io_uring_register": 427, "pidfd_send_signal": 424, "pidfd_getfd": 438,
    },
    "aarch64": {
        "socket": 198, "socketpair": 199, "bind": 200, "listen": 201, "accept": 202, "connect": 203, "sendto": 206,
        "sendmsg": 211, "accept4": 242, "sendmmsg": 269, "execve": 221, "execveat": 281, "kill": 129, "ptrace": 117,
        "linkat": 37, "symlinkat": 36, "mknodat": 33, "pivot_root": 41, "chroot": 51, "mount": 40, "umount2": 39,
        "kexec_load": 104, "init_module": 105, "finit_module": 273, "delete_module": 106, "add_key": 217,
        "request_key": 218, "keyctl": 219, "unshare": 97, "setns": 268, "perf_event_open": 241,
        "process_vm_readv": 270, "process_vm_writev": 271, "bpf": 280, "userfaultfd": 282, "io_uring_setup": 425,
        "io_uring_enter": 426, "io_uring_register": 427, "pidfd_send_signal": 424, "pidfd_getfd": 438,
    },
}
# fmt: on
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435
_CLONE_THREAD = 0x00010000


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def confine(limits: Limits, parent: int) -> list[str]:
    """Give up what decoding does not need; returns a sentence for each protection that this system does not have."""
    if sys.platform != "linux":
        return [
            *_limit_resources(limits),
            f"{sys.platform} has no seccomp: network and programs are not denied to the decoder",
        ]
    return [*_limit_resources(limits), *_die_with(parent), *_deny_system_calls()]


def _limit_resources(limits: Limits) -> list[str]:
    wanted = {
        "RLIMIT_CORE": 0,
        "RLIMIT_CPU": limits.cpu_seconds,
        "RLIMIT_FSIZE": limits.packed_bytes,
        "RLIMIT_NOFILE": OPEN_FILES,
        "RLIMIT_DATA": limits.memory_bytes,
        "RLIMIT_AS": ADDRESS_SPACE,
    }
    return [missing for name, value in wanted.items() if (missing := _limit(name, value)) is not None]


def _limit(name: str, value: int) -> str | None:
    kind = getattr(resource, name, None)
    if kind is None:
        return f"{sys.platform} has no {name}"
    try:
        _, hard = resource.getrlimit(kind)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(
            kind, (bound, hard if name == "RLIMIT_CPU" else bound)
        )  # at a hard one the signal says nothing
    except (ValueError, OSError) as error:
        return f"{name} cannot be set: {error}"
    return None


def _die_with(parent: int) -> list[str]:
    missing = _prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:  # it died before the line above
        sys.exit(1)
    return [f"the decoder does not end with its supervisor: {missing}"] if missing else []


def _deny_system_calls() -> list[str]:
    """Install a seccomp filter that answers EPERM to everything that reaches beyond this process and its files."""
    machine = platform.machine()
    if machine not in _DENIED:
        return [f"no seccomp filter for {machine}: network and programs are not denied to the decoder"]
    instructions = seccomp_filter(machine)
    program = _Program(len(instructions) // 8, instructions)
    missing = _prctl(_PR_SET_NO_NEW_PRIVS, 1) or _prctl(
        _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(program)
    )
    return [f"seccomp is not available: {missing}"] if missing else []


def seccomp_filter(machine: str) -> bytes:
    """The filter as instructions of classic BPF, 8 bytes each: code, jump if true, jump if false, operand.

    Threads may be started (libwebp does), processes may not: `clone` needs CLONE_THREAD, and `clone3`, whose
    flags a filter cannot see, answers ENOSYS, upon which the C library falls back to `clone`.
    """
    numbers = sorted(_DENIED[machine].values())
    foreign = [(_JUMP_AT_LEAST, len(numbers) + 6, 0, _X32)] if machine == "x86_64" else []  # the same calls as x32
    lines = [
        (_LOAD_WORD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD_WORD, 0, 0, _NUMBER),
        *foreign,
        *((_JUMP_EQUAL, len(numbers) + 5 - place, 0, number) for place, number in enumerate(numbers)),
        (_JUMP_EQUAL, 4, 0, _CLONE3),
        (_JUMP_EQUAL, 0, 2, _CLONE[machine]),
        (_LOAD_WORD, 0, 0, _FIRST_ARGUMENT),
        (_JUMP_BITS, 0, 2, _CLONE_THREAD),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _FAIL | errno.ENOSYS),
        (_RETURN, 0, 0, _FAIL | errno.EPERM),
    ]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def _prctl(option: int, first: int, second: int = 0) -> str | None:
    library = ctypes.CDLL(None, use_errno=True)
    arguments = [ctypes.c_ulong(value) for value in (first, second, 0, 0)]
    if library.prctl(ctypes.c_int(option), *arguments) == 0:
        return None
    return os.strerror(ctypes.get_errno())
