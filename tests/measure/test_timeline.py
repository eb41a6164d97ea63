import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.measure.energy import EnergyMeter
from bench.measure.timeline import ProcessSampler
from bench.readings import Sample

BUSY = "print('ready', flush=True)\nwhile True: pass"
IDLE = "print('ready', flush=True)\nimport time\ntime.sleep(600)"
LARGE = "block = b'x' * (200 * 2**20)\n" + IDLE


@contextmanager
def process(program: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as child:
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


def test_a_busy_process_uses_one_core() -> None:
    # The other work of the machine may take some of the core, never add to it; the kernel counts in steps of 10 ms.
    with process(BUSY) as child:
        cpu_pct = over(child, 1.0).cpu_pct
    assert cpu_pct is not None
    assert 30 < cpu_pct < 110


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
    gpu = (sample.gpu_util_pct, sample.gpu_memory_mib, sample.gpu_process_mib, sample.gpu_power_w)
    assert gpu == (None, None, None, None)


def test_two_samples_at_one_instant_do_not_divide_by_zero() -> None:
    with process(IDLE) as child:
        sampler = watcher(child)
        sampler.sample(1.0, "load")
        sample = sampler.sample(1.0, "load")
    assert sample is not None
    assert sample.cpu_pct is None


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
