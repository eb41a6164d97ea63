import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from bench.measure.energy import EnergyMeter
from bench.measure.timeline import ProcessSampler
from bench.readings import Sample

# Busy in the kernel as well as outside of it: asking for its own CPU time is a system call.
BUSY = "import time\nprint('ready', flush=True)\nwhile True: time.process_time()"
IDLE = "print('ready', flush=True)\nimport time\ntime.sleep(600)"
# Processes that live until their input ends, each with one more below it; the one in the middle holds 100 MiB.
GRANDCHILD = "import sys\nprint('ready', flush=True)\nsys.stdin.read()"
CHILD = f"""
import subprocess, sys
block = b"x" * (100 * 2**20)
child = subprocess.Popen([sys.executable, "-c", {GRANDCHILD!r}], stdout=subprocess.PIPE, text=True)
child.stdout.readline()
{GRANDCHILD}
"""
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}], stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print("ready", flush=True)
child.wait()
print("waited", flush=True)
sys.stdin.read()
"""
LARGE = "block = b'x' * (200 * 2**20)\n" + IDLE


@contextmanager
def process(program: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        try:
            yield child
        finally:
            child.kill()


def watcher(child: subprocess.Popen[str]) -> ProcessSampler:
    return ProcessSampler(child.pid, None, EnergyMeter(None))


def over(child: subprocess.Popen[str], seconds: float) -> Sample:
    """What the second of two samples says, so many seconds after the first."""
    sampler = watcher(child)
    assert sampler.sample(time.perf_counter(), "any") is not None
    time.sleep(seconds)
    sample = sampler.sample(time.perf_counter(), "any")
    assert sample is not None
    return sample


def cpu_s(child: subprocess.Popen[str]) -> float:
    """CPU seconds a process has used, as psutil tells, in the kernel's steps of 10 ms."""
    times = psutil.Process(child.pid).cpu_times()
    return times.user + times.system


def test_the_cpu_use_of_a_busy_process_is_what_it_used_between_the_samples() -> None:
    # Other work may take the core away for as long as it likes: the process's own time is read on either side of both
    # samples, so that what the sampler read lies in between.
    with process(BUSY) as child:
        sampler = watcher(child)
        before = cpu_s(child)
        assert sampler.sample(10.0, "any") is not None
        after = cpu_s(child)
        deadline = time.monotonic() + 60
        while cpu_s(child) < after + 0.5 and time.monotonic() < deadline:
            time.sleep(0.05)
        at_least = cpu_s(child) - after
        sample = sampler.sample(12.0, "any")  # 2 s later, on the clock of the run
        at_most = cpu_s(child) - before
    assert sample is not None
    assert sample.cpu_pct is not None
    assert at_least >= 0.5
    assert 100 * at_least / 2 - 0.01 <= sample.cpu_pct <= 100 * at_most / 2 + 0.01


def test_the_machine_is_at_least_as_busy_as_a_process_on_it() -> None:
    with process(BUSY) as child:
        before, started = cpu_s(child), time.perf_counter()
        sampler = watcher(child)
        assert sampler.sample(started, "any") is not None
        while cpu_s(child) < before + 1.0 and time.perf_counter() < started + 60:
            time.sleep(0.05)
        ended = time.perf_counter()
        sample = sampler.sample(ended, "any")
    assert sample is not None
    assert sample.cpu_pct is not None
    assert sample.machine_cpu_pct is not None
    unsure_pct = 100 * 0.1 / (ended - started)  # the kernel books time in ticks, on every processor
    cpus = psutil.cpu_count() or 1
    assert sample.cpu_pct - unsure_pct <= sample.machine_cpu_pct <= 100 * cpus + unsure_pct * cpus
    assert sample.stolen_pct is None or 0 <= sample.stolen_pct <= 100 * cpus + unsure_pct * cpus


def test_what_a_process_has_started_is_counted_with_its_memory() -> None:
    with process(PARENT) as parent:
        found = psutil.Process(parent.pid).children(recursive=True)
        sampler = watcher(parent)
        sample = sampler.sample(5.0, "any")
        expected_mib = sum(one.memory_info().rss for one in found) / 2**20
        soon = sampler.sample(5.5, "any")
        for one in found:
            one.kill()
        assert parent.stdout is not None
        assert parent.stdout.readline() == "waited\n"
        later = sampler.sample(6.0, "any")
    assert sample is not None
    assert soon is not None
    assert later is not None
    assert sample.descendants == len(found) == 2  # the child, and what it has started
    assert sample.descendants_rss_mib == pytest.approx(expected_mib, rel=0.02)
    assert expected_mib > 100
    assert sample.rss_mib is not None
    assert sample.rss_mib < 100  # the process's own is no part of it
    assert (soon.descendants, soon.descendants_rss_mib) == (None, None)  # looked at once a second
    assert (later.descendants, later.descendants_rss_mib) == (0, 0)


def test_a_process_that_has_started_none_has_no_descendants() -> None:
    with process(IDLE) as child:
        sample = watcher(child).sample(0.0, "any")
    assert sample is not None
    assert (sample.descendants, sample.descendants_rss_mib) == (0, 0)


def test_the_processors_clock_is_what_the_kernel_tells() -> None:
    with process(IDLE) as child:
        sample = watcher(child).sample(0.0, "any")
    assert sample is not None
    if psutil.cpu_freq() is None:
        assert sample.cpu_mhz is None
    else:
        assert sample.cpu_mhz is None or 100 < sample.cpu_mhz < 10_000


def test_an_idle_process_uses_none() -> None:
    with process(IDLE) as child:
        cpu_pct = over(child, 0.3).cpu_pct
    assert cpu_pct is not None
    assert 0 <= cpu_pct < 10


def test_the_resident_set_tells_a_large_process_from_a_small_one() -> None:
    with process(IDLE) as small, process(LARGE) as large:
        resident = [over(child, 0.01).rss_mib for child in (small, large)]
    assert resident[0] is not None
    assert resident[1] is not None
    assert resident[1] - resident[0] == pytest.approx(200, rel=0.05)


def test_the_first_sample_has_no_cpu_use_and_no_sample_without_a_gpu_has_gpu_values() -> None:
    with process(IDLE) as child:
        sample = watcher(child).sample(1.5, "load")
    assert sample is not None
    assert (sample.t_s, sample.phase, sample.cpu_pct) == (1.5, "load", None)
    assert (sample.machine_cpu_pct, sample.stolen_pct) == (None, None)
    gpu = [field.name for field in dataclasses.fields(sample) if field.name.startswith("gpu_")]
    assert len(gpu) == 10
    assert {getattr(sample, name) for name in gpu} == {None}


def test_shares_are_not_told_of_times_shorter_than_a_few_ticks_and_lose_nothing() -> None:
    # The kernel books CPU time in ticks of 10 ms: one of them within 0.2 ms would be 5000 %.
    with process(BUSY) as child:
        sampler = watcher(child)
        sampler.sample(1.0, "load")
        time.sleep(0.5)
        close = [sampler.sample(t_s, "load") for t_s in (1.0, 1.0002, 1.04)]
        later = sampler.sample(1.5, "load")
    assert [sample and (sample.cpu_pct, sample.machine_cpu_pct, sample.stolen_pct) for sample in close] == [
        (None, None, None)
    ] * 3
    assert later is not None
    assert later.cpu_pct is not None
    assert 0 < later.cpu_pct < 150  # all of the half second since the first


def test_a_process_that_is_gone_has_no_sample() -> None:
    with process(IDLE) as child:
        sampler = watcher(child)
        assert sampler.sample(0.0, "any") is not None
        child.kill()
        child.wait()
        assert sampler.sample(1.0, "any") is None
        assert watcher(child).sample(2.0, "any") is None


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="this system cannot wait for a process without reaping it")
def test_a_process_that_ended_but_was_not_waited_for_has_no_sample() -> None:
    with process(IDLE) as child:
        sampler = watcher(child)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert sampler.sample(0.0, "any") is None
