import json
import os
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


SHARED_MIB, ANONYMOUS_MIB, FILE_MIB = 20, 200, 100
# Touch memory of a nameless file in memory, memory that is no file's, and a file; fork, so that a child shares the last
# two; print the kinds after each step.
KINDS = f"""
import json, mmap, os, sys
from bench.measure import memory

def show():
    print(json.dumps(memory.kinds() | {{"rss_mib": memory.resident_mib()}}), flush=True)

shared = mmap.mmap(-1, {SHARED_MIB} * 2**20)
shared.write(bytes(len(shared)))
show()
block = mmap.mmap(-1, {ANONYMOUS_MIB} * 2**20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for page in range(0, len(block), mmap.PAGESIZE):
    block[page] = 1
show()
with open(sys.argv[1], "rb") as file:
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
touched = sum(mapped[page] for page in range(0, len(mapped), mmap.PAGESIZE))
show()
until, ready = os.pipe()
started, told = os.pipe()
child = os.fork()
if child == 0:
    os.close(ready)
    # A child has no page tables of a file's pages until it touches them.
    touched = sum(mapped[page] for page in range(0, len(mapped), mmap.PAGESIZE))
    os.write(told, b"x")
    os.read(until, 1)
    os._exit(0)
os.read(started, 1)
show()
os.close(ready)
os.waitpid(child, 0)
show()
"""


@needs_proc
def test_memory_is_told_by_kind(tmp_path: Path) -> None:
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("this kernel does not add up the pages of a process")
    file = tmp_path / "mapped"
    with file.open("wb") as writer:
        writer.write(b"x" * (FILE_MIB * 2**20))
        writer.flush()
        os.fsync(writer.fileno())  # what is on disk is clean, the heap is not
    command = [sys.executable, "-c", KINDS, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    start, with_block, with_file, shared, alone = map(json.loads, done.stdout.splitlines())

    def rise(kind: str, before: dict[str, float], after: dict[str, float]) -> float:
        return after[kind] - before[kind]

    few_mib = 4
    assert start["mapped_mib"] > SHARED_MIB
    for kind in ("anonymous_mib", "uss_mib", "pss_mib"):
        assert rise(kind, start, with_block) == pytest.approx(ANONYMOUS_MIB, abs=few_mib)
    assert rise("mapped_mib", start, with_block) == pytest.approx(0, abs=few_mib)
    for kind in ("mapped_mib", "uss_mib", "pss_mib"):
        assert rise(kind, with_block, with_file) == pytest.approx(FILE_MIB, abs=few_mib)
    assert rise("anonymous_mib", with_block, with_file) == pytest.approx(0, abs=few_mib)
    # Shared by two, a page is half of each and no one's own.
    everything_mib = ANONYMOUS_MIB + FILE_MIB
    assert rise("pss_mib", with_file, shared) == pytest.approx(-everything_mib / 2, abs=3 * few_mib)
    assert rise("uss_mib", with_file, shared) == pytest.approx(-everything_mib, abs=3 * few_mib)
    for kind in ("anonymous_mib", "mapped_mib"):
        assert rise(kind, with_file, shared) == pytest.approx(0, abs=few_mib)
    assert rise("pss_mib", with_file, alone) == pytest.approx(0, abs=few_mib)
    for told in (start, with_block, with_file, shared, alone):
        assert told["anonymous_mib"] + told["mapped_mib"] == pytest.approx(told["rss_mib"], abs=1)
        assert told["uss_mib"] <= told["pss_mib"] <= told["rss_mib"] + 1


@needs_proc
def test_the_kinds_are_what_psutil_says() -> None:
    found, other = memory.kinds(), psutil.Process().memory_full_info()
    assert found["uss_mib"] == pytest.approx(other.uss / 2**20, rel=0.05)
    assert found["pss_mib"] == pytest.approx(other.pss / 2**20, rel=0.05)


def test_reading_through_a_folder_reads_the_files_in_it_and_below(tmp_path: Path) -> None:
    model = tmp_path / "snapshots" / "model"
    (model / "onnx" / "int8").mkdir(parents=True)
    (model / "config.json").write_bytes(b"{}")
    (model / "onnx" / "int8" / "weights").write_bytes(bytes(9 * 2**20 + 1))  # more than is read at once
    (model / "empty").touch()
    blob = tmp_path / "blob"
    blob.write_bytes(bytes(1000))
    (model / "linked").symlink_to(blob)  # as the hub keeps its files
    assert memory.read_through(model) == 2 + 9 * 2**20 + 1 + 0 + 1000
    assert memory.read_through(tmp_path / "absent") == 0


def test_memory_that_could_be_taken_is_within_what_the_machine_has() -> None:
    assert 0 < memory.available_mib() <= psutil.virtual_memory().total / 2**20


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
    assert set(memory.kinds().values()) == {None}
