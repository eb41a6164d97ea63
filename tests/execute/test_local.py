"""The watch over a run's process, with real processes that behave as no run should."""

import multiprocessing
import os
import pickle
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import connection
from pathlib import Path

import pytest

from bench.config import Config, ExecutorConfig
from bench.errors import ExecutorError
from bench.execute.child import Ending, PhaseBegan, _write_output_to
from bench.execute.local import _explain_death, _starting
from bench.execute.watch import Watch, first_to_go
from bench.measure import memory
from bench.measure.energy import EnergyMeter
from bench.measure.timeline import ProcessSampler
from bench.readings import Sample
from bench.records import Status

Behaviour = Callable[[connection.Connection], None]


def _lingers_after_its_ending(sender: connection.Connection) -> None:
    sender.send(PhaseBegan("score", time.monotonic()))
    sender.send(Ending(Status.ok, "told"))
    time.sleep(3600)


def _dies_in_the_middle_of_its_ending(sender: connection.Connection) -> None:
    content = pickle.dumps(Ending(Status.ok, "x" * 100_000))
    header = len(content).to_bytes(4, "big", signed=True)
    os.write(sender.fileno(), header + content[:100])
    os._exit(9)


def _is_too_slow(sender: connection.Connection) -> None:
    sender.send(PhaseBegan("inference", time.monotonic()))
    time.sleep(3600)


def _watch(behaviour: Behaviour, timeout_s: float | None) -> tuple[Ending | None, list[Sample]]:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=behaviour, args=(sender,))
    started_s = time.monotonic()
    process.start()
    sender.close()
    sampler = ProcessSampler(process.pid or 0, None, EnergyMeter(None))
    watch = Watch(process, receiver, sampler, started_s, Config(executor=ExecutorConfig(timeout_s=timeout_s)))
    try:
        assert first_to_go([watch]) is watch
        return watch.ending, watch.samples
    finally:
        process.kill()
        process.join()


@pytest.mark.parametrize(
    ("exitcode", "told"),
    [(-9, "signal 9 (SIGKILL)"), (-11, "signal 11 (SIGSEGV)"), (-40, "signal 40"), (3, "exit code 3")],
)
def test_a_death_without_a_word_is_explained(exitcode: int, told: str, tmp_path: Path) -> None:
    ending = _explain_death(exitcode, memory.oom_kills(), tmp_path / "no.log")
    assert (ending.status, ending.retryable) == (Status.error, True)
    assert told in (ending.reason or "")


# Python 3.12 and later warn of a fork in a process with threads; these children only sleep or exit.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class TestWatch:
    def test_an_ending_that_was_told_outweighs_the_time_limit(self) -> None:
        ending, samples = _watch(_lingers_after_its_ending, timeout_s=1.5)
        assert ending == Ending(Status.ok, "told")
        assert samples[-1].phase == "score"

    def test_a_process_that_does_not_go_is_not_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bench.execute.watch._PARTING_S", 0.5)
        assert _watch(_lingers_after_its_ending, timeout_s=None)[0] == Ending(Status.ok, "told")

    def test_half_an_ending_is_none(self) -> None:
        assert _watch(_dies_in_the_middle_of_its_ending, timeout_s=60)[0] is None

    def test_out_of_time(self) -> None:
        ending, samples = _watch(_is_too_slow, timeout_s=0.7)
        assert ending is not None
        assert (ending.status, ending.retryable) == (Status.timeout, True)
        assert ending.reason is not None
        assert "'inference' after executor.timeout_s=0.7" in ending.reason
        assert len(samples) >= 3  # ten a second


_DYING_SERVER = """
import os, pathlib, socket, time
if not pathlib.Path("died").exists():
    pathlib.Path("died").touch()
    for fd in range(3, 64):
        try:
            one = socket.socket(fileno=fd)
        except OSError:
            continue
        if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            one.close()
        else:
            one.detach()
    time.sleep(0.3)
    os._exit(9)
"""

_START = """
import multiprocessing
from bench.execute.local import _start
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["dying_server"])
process = context.Process(target=print, args=("started",))
_start(process)
process.join()
"""


@pytest.mark.skipif("forkserver" not in multiprocessing.get_all_start_methods(), reason="runs are not forked here")
def test_a_run_starts_once_a_dying_process_server_is_gone(tmp_path: Path) -> None:
    """A killed server takes no connections any more, and still exists, until its threads and memory are gone."""
    (tmp_path / "dying_server.py").write_text(_DYING_SERVER)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    ran = subprocess.run(
        [sys.executable, "-c", _START], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "started\n"
    assert (tmp_path / "died").exists()


def test_what_a_run_prints_replaces_a_link_or_pipe_and_goes_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine", encoding="utf-8")
    (tmp_path / "a.log").symlink_to("precious")
    os.mkfifo(tmp_path / "b.log")
    for name in ("a.log", "b.log"):
        process = multiprocessing.get_context("fork").Process(target=_prints, args=(tmp_path / name,))
        process.start()
        process.join(20)
        process.kill()
        assert (tmp_path / name).read_text(encoding="utf-8") == "printed"
    assert (tmp_path / "precious").read_text(encoding="utf-8") == "mine"


def _prints(log: Path) -> None:
    _write_output_to(log)
    os.write(1, b"printed")


def test_starts_in_two_threads_leave_the_main_module_as_it_was() -> None:
    main, entered, first_left = sys.modules["__main__"], threading.Event(), threading.Event()

    def second() -> None:
        with _starting():
            entered.set()
            first_left.wait()

    thread = threading.Thread(target=second)
    with _starting():
        thread.start()
        entered.wait(0.2)  # it does not, before this one has left
    first_left.set()
    thread.join()
    assert sys.modules["__main__"] is main


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        (ChildProcessError(10, "No child processes"), "multiprocessing.get_context('spawn')"),
        (OSError("AF_UNIX path too long"), "set TMPDIR to a shorter one"),
    ],
)
def test_a_process_that_cannot_start_others_is_told_why(error: OSError, cure: str) -> None:
    """As CPython raises it in a forked child of one with a process server, and where TMPDIR is long."""
    with pytest.raises(ExecutorError, match=re.escape(cure)), _starting():
        raise error


def test_a_daemonic_process_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vars(multiprocessing.current_process())["_config"], "daemon", True)
    with pytest.raises(ExecutorError, match="daemon=False"), _starting():
        pass
