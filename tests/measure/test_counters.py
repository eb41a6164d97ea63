import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.measure import cgroup, counters

LINUX = sys.platform == "linux"
needs_linux = pytest.mark.skipif(not LINUX, reason="these counters are Linux's")
BURN = """
import time
def burn(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
"""
UNSURE_S = 0.1  # the kernel books the machine's time in ticks of up to 10 ms, on every processor


def burn(seconds: float) -> None:
    """Use so many CPU seconds, however long that takes on a busy machine."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def in_python(program: str) -> Any:
    """What a program prints as JSON, in a process of its own."""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_work_of_the_process_is_its_own_and_the_machines() -> None:
    outer = time.monotonic()
    first = counters.read()
    inner = time.monotonic()
    burn(1.0)
    inner = time.monotonic() - inner
    found = counters.between(first, counters.read())
    outer = time.monotonic() - outer
    assert inner <= found.wall_s <= outer
    assert found.process_cpu_s >= 1.0
    assert found.machine_busy_s is not None
    assert 1.0 - UNSURE_S <= found.machine_busy_s <= found.wall_s * (psutil.cpu_count() or 1) + UNSURE_S


def childrens_s() -> float:
    """CPU seconds of the processes this one has started and waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_work_of_another_process_is_the_machines_alone() -> None:
    first, mine = counters.read(), time.process_time()
    others = childrens_s()
    subprocess.run([sys.executable, "-c", f"{BURN}\nburn(1.0)"], timeout=120, check=True)
    others = childrens_s() - others
    found, mine = counters.between(first, counters.read()), time.process_time() - mine
    assert others >= 1.0
    assert found.machine_busy_s is not None
    assert found.machine_busy_s - found.process_cpu_s >= others - UNSURE_S
    assert found.process_cpu_s <= mine + 0.001


# Share one processor with a process that never rests.
CROWDED = f"""
import json, os, subprocess, sys
from dataclasses import asdict
from bench.measure import counters
{BURN}
os.sched_setaffinity(0, [max(os.sched_getaffinity(0))])
busy = "print('ready', flush=True)\\nwhile True: pass"
with subprocess.Popen([sys.executable, "-c", busy], stdout=subprocess.PIPE, text=True) as competitor:
    competitor.stdout.readline()
    first = counters.read()
    burn(0.7)
    found = counters.between(first, counters.read())
    competitor.kill()
print(json.dumps(asdict(found)))
"""


@needs_linux
def test_a_process_that_shares_its_processor_waits_for_it() -> None:
    found = in_python(CROWDED)
    if found["waiting_s"] is None:
        pytest.skip("this kernel keeps no schedstats")
    without_s = found["wall_s"] - found["process_cpu_s"]  # it never rests: whenever it does not run, it waits
    assert without_s > 0.2 * found["wall_s"]
    assert found["waiting_s"] == pytest.approx(without_s, rel=0.1, abs=0.02)
    # Only the one processor it may use counts, and that one was never idle.
    assert found["cpus"] <= 1
    stolen_s = found["stolen_s"] or 0.0
    assert found["wall_s"] - UNSURE_S <= found["machine_busy_s"] + stolen_s <= found["wall_s"] + UNSURE_S


def ticks(fields: tuple[int, ...]) -> float:
    """Seconds of some columns of /proc/stat, summed over the processors this process may use; see proc(5)."""
    usable = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    rows = [line.split() for line in Path("/proc/stat").read_text(encoding="ascii").splitlines()]
    return sum(int(row[1 + field]) for row in rows if row[0] in usable for field in fields) / os.sysconf("SC_CLK_TCK")


@needs_linux
@pytest.mark.parametrize(("place", "fields"), [(0, (0, 1, 2, 5, 6)), (1, (7,))], ids=["busy", "stolen"])
def test_the_machines_seconds_are_those_of_the_kernel(place: int, fields: tuple[int, ...]) -> None:
    before, found, after = ticks(fields), counters.machine_cpu_s()[place], ticks(fields)
    assert found is not None
    assert before - 1e-6 <= found <= after + 1e-6


def stat(folder: Path, numbers: list[int]) -> None:
    """Let psutil read a /proc/stat where the processor of number n has been busy 2^n s, and 3^n s were stolen."""
    lines = ["cpu  0 0 0 0 0 0 0 0 0 0"]
    hertz = os.sysconf("SC_CLK_TCK")
    lines += [f"cpu{n} {2**n * hertz} 0 0 900 0 0 0 {3**n * hertz} 0 0" for n in numbers]
    (folder / "stat").write_text("\n".join([*lines, "intr 0"]) + "\n")


@needs_linux
def test_processors_that_are_switched_off_shift_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usable = counters.affinity()
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    # Hyper-threads that are off, or a container's own view: the list holds as many as may be used, numbered otherwise.
    numbers = [2 * number for number in range(len(usable))]
    stat(tmp_path, numbers)
    assert counters.machine_cpu_s() == pytest.approx((sum(2**n for n in numbers), sum(3**n for n in numbers)))
    # All are listed, and some are not this process's.
    stat(tmp_path, list(range(max(usable) + 3)))
    assert counters.machine_cpu_s() == pytest.approx((sum(2**n for n in usable), sum(3**n for n in usable)))
    # None is: what is not known is not zero.
    stat(tmp_path, [])
    assert counters.machine_cpu_s() == (None, None)


@needs_linux
def test_faults_and_swap_are_the_kernels() -> None:
    def kernels() -> tuple[int, float]:
        pages = dict(line.split() for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines())
        swapped = (int(pages["pswpin"]) + int(pages["pswpout"])) * os.sysconf("SC_PAGE_SIZE") / 2**20
        return resource.getrusage(resource.RUSAGE_SELF).ru_majflt, swapped

    before, found, after = kernels(), counters.read(), kernels()
    assert found.major_faults is not None
    assert found.swapped_mib is not None
    assert before[0] <= found.major_faults <= after[0]
    assert before[1] - 1e-6 <= found.swapped_mib <= after[1] + 1e-6


@needs_linux
def test_slowing_down_for_heat_is_counted_on_the_processors_of_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counters, "_CPUS", tmp_path)
    assert counters.read().thermal_events is None

    def count(number: int, events: int) -> None:
        folder = tmp_path / f"cpu{number}" / "thermal_throttle"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "core_throttle_count").write_text(f"{events}\n")

    usable = counters.affinity()
    count(max(usable) + 1, 1000)  # another's
    for number in usable:
        count(number, 5)
    first = counters.read()
    count(usable[0], 8)
    assert counters.between(first, counters.read()).thermal_events == 3


def test_nothing_runs_backwards_between_two_readings() -> None:
    first = counters.read()
    found = counters.between(first, counters.read())
    values = [getattr(found, name) for name in vars(found)]
    assert all(value is None or value >= 0 for value in values)
    assert found.cpus > 0


def test_what_is_unknown_in_one_reading_is_unknown_between_them() -> None:
    known = dict.fromkeys(vars(counters.read()), 1.0)
    unknown = {"waiting_s", "machine_busy_s", "stolen_s", "quota_throttled_s", "swapped_mib"}
    unknown |= {"major_faults", "thermal_events"}
    for name in unknown:
        lacking: dict[str, Any] = known | {name: None}
        for first, last in ((known, lacking), (lacking, known)):
            found = counters.between(counters.Reading(**first), counters.Reading(**last))
            assert {field for field in unknown if getattr(found, field) is None} == {name}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity")
def test_a_pinned_process_may_use_what_it_is_pinned_to() -> None:
    usable = sorted(os.sched_getaffinity(0))
    program = (
        "import json, os; from bench.measure import counters; os.sched_setaffinity(0, [{}]);"
        " print(json.dumps([counters.affinity(), counters.usable_cpus()]))"
    )
    numbers, cpus = in_python(program.format(usable[-1]))
    assert numbers == [usable[-1]]
    assert cpus <= 1  # less in a container with a smaller share
    assert in_python(program.format(", ".join(map(str, usable))))[0] == usable


@pytest.mark.parametrize(("share", "cpus"), [("50000 100000", 0.5), ("90000000 10000", None), ("max 100000", None)])
def test_a_containers_share_bounds_what_may_be_used(
    share: str, cpus: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/\n")
    (tmp_path / "cpu.max").write_text(f"{share}\n")
    monkeypatch.setattr(cgroup, "_SELF", own)
    monkeypatch.setattr(cgroup, "_MOUNT", tmp_path)
    assert counters.usable_cpus() == (cpus or len(counters.affinity()))
    first = counters.read()
    assert first.quota_throttled_s is None
    (tmp_path / "cpu.stat").write_text("throttled_usec 2000000\n")
    second = counters.read()
    (tmp_path / "cpu.stat").write_text("throttled_usec 2750000\n")
    assert counters.between(second, counters.read()).quota_throttled_s == pytest.approx(0.75)
