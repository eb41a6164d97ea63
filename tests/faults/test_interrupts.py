"""Signals that ask a study to end: nothing of it goes on, nothing is half written, and it goes on where it was."""

import random
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import psutil
import pytest

import bench
from tests.faults.drivers import Driver, Study

pytestmark = pytest.mark.faults

Start = Callable[..., Driver]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SWEEP = ("-m", "decode.chunk_length_s=range(1,31)", "measure.replicates=4")
_STOPPED = 130  # 128 + SIGINT


@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, *(pytest.param(one, marks=pytest.mark.slow) for one in (signal.SIGINT, signal.SIGHUP))],
    ids=lambda one: one.name,
)
def test_a_signal_ends_a_study_in_good_order(study: Study, start: Start, number: signal.Signals) -> None:
    driver = start(study, *_SWEEP)
    driver.wait_for(lambda: study.finished() and driver.run())
    driver.signalled(number)
    code, out = driver.ended()
    assert code == _STOPPED, out
    assert "to go on: asr-sweep run" in out
    driver.assert_nothing_left()
    # A run that the signal ended has not failed: it was never finished.
    assert set(bench.load_runs(study.folder)["status"]) == {"ok"}
    study.assert_whole()


@pytest.mark.slow
def test_two_signals_end_it_too(study: Study, start: Start) -> None:
    """Both are there before the driver can deal with the first."""
    driver = start(study, *_SWEEP)
    driver.wait_for(lambda: study.finished() and driver.run())
    for number in (signal.SIGSTOP, signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
        driver.process.send_signal(number)
    driver.process.wait(60)
    driver.assert_nothing_left()
    assert set(bench.load_runs(study.folder)["status"]) == {"ok"}


def test_what_a_run_started_ends_with_it(study: Study, start: Start) -> None:
    """A run's own process is killed, then the driver, which can clean up nothing."""
    driver = start(study, "model.name=fake/child")
    child = driver.wait_for(driver.child_of_run)
    child.suspend()  # it would end by itself
    run = driver.wait_for(driver.run)
    run.kill()
    another = driver.wait_for(lambda: (found := driver.child_of_run()) is not None and found != child and found)
    assert another
    # One that ended and waits for whoever is its parent by now to notice is gone.
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    driver.process.kill()
    driver.process.wait()
    driver.assert_nothing_left()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_fifty_interrupted_studies_leave_no_process(
    study: Study, start: Start, tell: Callable[[Counter[str]], None]
) -> None:
    chance, counts = random.Random(50), Counter[str]()
    while counts["interrupted"] < 50:
        one = Study(study.home / str(counts["started"]), study.settings)
        driver = start(one, *_SWEEP)
        counts["started"] += 1
        with suppress(subprocess.TimeoutExpired):
            driver.process.wait(chance.uniform(0.5, 8))
        number = chance.choice((*_SIGNALS, signal.SIGKILL))
        driver.signalled(number)
        driver.process.communicate(timeout=120)
        driver.assert_nothing_left()
        if one.folder.exists():
            one.assert_whole()
        counts["interrupted"] += 1
        counts[number.name] += 1
    tell(counts)
