"""Limits that a process sets itself."""

import platform
import subprocess
import sys

import pytest

HEAPS = """
import sys, threading
from upcall.transport.limits import one_heap
if "one" in sys.argv:
    one_heap()
began = threading.Barrier(4)
def work():
    began.wait()
    kept = [bytes(100_000) for _ in range(10)]
    began.wait()
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
EACH = 2**26
regions = [(line.split()[1], [int(end, 16) for end in line.split()[0].split("-")]) for line in open("/proc/self/maps")]
print(sum(
    used == "rw-p" and free == "---p" and begin % EACH == 0 and end == follows and last == begin + EACH
    for (used, (begin, end)), (free, (follows, last)) in zip(regions, regions[1:])
))
"""
"""A heap of a thread begins at a multiple of 64 MiB, and has these for itself (glibc's ``arena.c``)."""


def heaps(*arguments: str) -> int:
    return int(subprocess.run([sys.executable, "-c", HEAPS, *arguments], stdout=subprocess.PIPE, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="heaps of threads are glibc's")
def test_all_threads_of_a_process_share_one_heap() -> None:
    assert heaps() > 0
    assert heaps("one") == 0
