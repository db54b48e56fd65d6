"""What a trainer frees stays with it."""

import os
import platform
import subprocess
import sys

import pytest

from worker.allocator import trainer_environment

FILL_AND_FREE = """
import ctypes, resource
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
size = 40 * 2**20
for round in range(11):
    if round == 1:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(size)
    ctypes.memset(block, round, size)
    libc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(environment: dict[str, str]) -> int:
    command = [sys.executable, "-c", FILL_AND_FREE]
    return int(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_memory_that_a_step_frees_is_there_for_the_next_one() -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    assert 10 * page_faults(plain | trainer_environment()) < page_faults(plain), "by itself glibc hands it back"
