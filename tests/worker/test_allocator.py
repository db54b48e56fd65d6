"""What a trainer frees stays with it."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from worker.allocator import trainer_environment, with_large_pages

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

HOLD = """
import re
held = bytearray(2**26)
print(re.search(r"AnonHugePages: +([0-9]+) kB", open("/proc/self/smaps_rollup").read())[1])
"""
LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def number_from(script: str, environment: dict[str, str]) -> int:
    command = [sys.executable, "-c", script]
    return int(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def page_faults(environment: dict[str, str]) -> int:
    return number_from(FILL_AND_FREE, environment)


def large_pages_are_to_be_had() -> bool:
    library, version = platform.libc_ver()
    asked_for = LARGE_PAGES.exists() and "[never]" not in LARGE_PAGES.read_text()
    return asked_for and library == "glibc" and tuple(map(int, version.split("."))) >= (2, 35)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_memory_that_a_step_frees_is_there_for_the_next_one() -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    assert 10 * page_faults(plain | trainer_environment()) < page_faults(plain), "by itself glibc hands it back"


@pytest.mark.skipif(not large_pages_are_to_be_had(), reason="needs glibc 2.35, and a kernel that has large pages")
def test_memory_comes_in_large_pages() -> None:
    assert number_from(HOLD, {**os.environ, **trainer_environment()}) >= 2048


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "glibc.malloc.hugetlb=1"),
        ("glibc.malloc.hugetlb=1", "glibc.malloc.hugetlb=1"),
        ("glibc.malloc.hugetlb=0", "glibc.malloc.hugetlb=0"),
        ("glibc.rtld.nns=2", "glibc.rtld.nns=2:glibc.malloc.hugetlb=1"),
    ],
)
def test_what_else_is_set_of_glibc_stays(before: str, after: str) -> None:
    assert with_large_pages(before) == after
