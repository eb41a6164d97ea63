import resource
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bench.measure import memory

LINUX = sys.platform == "linux"
needs_proc = pytest.mark.skipif(not LINUX, reason="the kernel's counters are read from Linux's /proc")

BLOCK_MIB = 256
# Allocate, touch and free a block; print the peak before, with it and after, then the peak after a reset.
PROGRAM = f"""
import mmap
from bench.measure import memory

def show():
    print(memory.peak_resident_mib(), memory.resident_mib())

memory.reset_peak()
show()
block = mmap.mmap(-1, {BLOCK_MIB} * 2**20)
for page in range(0, len(block), mmap.PAGESIZE):
    block[page] = 1
show()
block.close()
show()
memory.reset_peak()
show()
"""


@needs_proc
def test_the_peak_rises_by_what_is_used_stays_and_can_be_reset() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    lines = [[float(number) for number in line.split()] for line in done.stdout.splitlines()]
    (peak, resident), (peak_with, resident_with), (peak_after, resident_after), (peak_reset, _) = lines
    assert peak_with - peak == pytest.approx(BLOCK_MIB, rel=0.05)
    assert resident_with - resident == pytest.approx(BLOCK_MIB, rel=0.05)
    assert peak_after == pytest.approx(peak_with, abs=1)  # the kernel adds up its counters lazily
    assert resident_after - resident == pytest.approx(0, abs=0.05 * BLOCK_MIB)
    assert peak_after - peak_reset == pytest.approx(BLOCK_MIB, rel=0.05)


@needs_proc
def test_the_resident_set_is_what_psutil_says() -> None:
    assert memory.resident_mib() == pytest.approx(psutil.Process().memory_info().rss / 2**20, rel=0.05)


@needs_proc
def test_the_peak_is_what_getrusage_says() -> None:
    # getrusage's peak is never reset, so it bounds the kernel's VmHWM from above; both are in KiB on Linux.
    peak, resident = memory.peak_resident_mib(), memory.resident_mib()
    assert peak is not None
    assert resident is not None
    assert resident * 0.95 <= peak <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 * 1.05


@needs_proc
def test_the_count_of_kills_is_the_kernels() -> None:
    counters = dict(line.split() for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines())
    if "oom_kill" not in counters:
        pytest.skip("this kernel does not count its out-of-memory kills")
    before, kills = int(counters["oom_kill"]), memory.oom_kills()
    assert kills is not None
    assert kills >= before


@pytest.mark.skipif(LINUX, reason="Linux tells all of these")
def test_elsewhere_the_values_are_unknown() -> None:
    memory.reset_peak()
    assert memory.peak_resident_mib() is None
    assert memory.resident_mib() is None
    assert memory.oom_kills() is None
