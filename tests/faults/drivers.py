"""Drivers of a study as processes: started, looked at, and done harm to, from outside."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pandas as pd
import psutil
import pyarrow.parquet as pq

import bench
from bench.damage import FOLDER
from bench.schema import SETTINGS

PATIENCE_S = 120.0
"""How long to wait for what must happen; machines under test may be busy."""

_MARK = "ASR_SWEEP_TEST_MARK"  # every process inherits its environment

T = TypeVar("T")

_KEYS = ("trial_id", "run_id", "replicate", "status", "trial_number", "point", "part")
_FINDINGS = ("utterances", "audio_s", "wer", "substitutions", "deletions", "insertions", "hits", "reference_words")
_OF_RUNS = [*_KEYS, "data.fingerprint", *_FINDINGS, *SETTINGS]
_OF_UTTERANCES = ["run_id", "utterance_id", "reference", "hypothesis", "wer", "hits", "windows", "audio_s"]


@dataclass(frozen=True)
class Study:
    """A study named ``s``.

    Attributes:
        home: Folder that its drivers work in.
        settings: What is asked of them all.
    """

    home: Path
    settings: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where its results are."""
        return self.home / "results" / "s"

    def twin(self) -> "Study":
        """The same study in another place."""
        return Study(self.home.with_name(f"{self.home.name}-twin"), self.settings)

    def finished(self) -> int:
        """Count the files of its finished attempts."""
        return len(list((self.folder / "runs").glob("[!.]*.parquet")))

    def rows(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Load what does not depend on time or chance: its runs and their utterances."""
        runs = bench.load_runs(self.folder)[_OF_RUNS].sort_values("run_id", ignore_index=True)
        utterances = bench.load_utterances(self.folder)[_OF_UTTERANCES]
        return runs, utterances.sort_values(["run_id", "utterance_id"], ignore_index=True)

    def assert_whole(self) -> int:
        """Every file can be read to its end, nothing half written lies about, and no attempt is there twice.

        Returns:
            How many files there are.
        """
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        assert not [path for path in files if path.name.startswith(".writing-")]
        tables = [path for path in files if path.suffix == ".parquet" and path.parent.name != FOLDER]  # set aside
        for path in tables:
            pq.read_table(path, page_checksum_verification=True).validate(full=True)
        for table, keys in (("runs", ["run_id", "attempt"]), ("utterances", ["run_id", "attempt", "utterance_id"])):
            read = [pd.read_parquet(path, columns=keys) for path in tables if path.parent.name == table]
            assert not read or not pd.concat(read).duplicated(keys).any(), table
        return len(files)

    def assert_equals(self, other: "Study") -> None:
        """Both hold the same rows: none is lost, none is there twice."""
        for mine, others in zip(self.rows(), other.rows(), strict=True):
            pd.testing.assert_frame_equal(mine, others)


class Driver:
    """A started study, in a group of its own.

    Args:
        study: The study.
        settings: What is asked of this driver alone.
        limit: Called in its process before it begins.
        environment: What its environment has beside the usual.
    """

    def __init__(
        self,
        study: Study,
        settings: Sequence[str] = (),
        limit: Callable[[], None] = lambda: None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        study.home.mkdir(parents=True, exist_ok=True)
        self._mark = uuid4().hex
        self._limit = limit
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench", "run", *study.settings, *settings],
            cwd=study.home,
            env={**os.environ, **(environment or {}), _MARK: self._mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=self._prepare,
        )

    def _prepare(self) -> None:
        # Tests in the background inherit from the shell that Ctrl-C is ignored, and from nohup that hanging up is.
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        self._limit()

    def family(self) -> list[psutil.Process]:
        """List the processes below it, and what those started."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def server(self) -> psutil.Process | None:
        """Find the process that runs are forked from."""
        return next((one for one in self.family() if _is_server(one, self.process.pid)), None)

    def run(self) -> psutil.Process | None:
        """Find a process that executes a run."""
        server = self.server()
        try:
            return None if server is None else next(iter(server.children()), None)
        except psutil.NoSuchProcess:
            return None

    def child_of_run(self) -> psutil.Process | None:
        """Find a process that a run started."""
        run = self.run()
        return None if run is None else next((one for one in self.family() if one.ppid() == run.pid), None)

    def wait_for(self, condition: Callable[[], T | None]) -> T:
        """Wait until something is so, and return it; fails where the driver ends before."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                if found := condition():
                    return found
            except psutil.NoSuchProcess:
                continue
            assert self.process.poll() is None, self.process.communicate()[0]
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.02)

    def signalled(self, number: signal.Signals) -> None:
        """Send a signal to the driver and all others in its group, as a terminal does."""
        os.killpg(self.process.pid, number)

    def ended(self) -> tuple[int, str]:
        """Wait for its end; returns its exit status, and what it said, which is never a traceback."""
        out, _ = self.process.communicate(timeout=5 * PATIENCE_S)
        assert "Traceback" not in out, out
        return self.process.returncode, out

    def assert_nothing_left(self) -> None:
        """Nothing goes on that it started, however indirectly and whoever is its parent by now."""
        deadline = time.monotonic() + PATIENCE_S
        while left := [one for one in psutil.process_iter() if self._is_ours(one)]:
            assert time.monotonic() < deadline, left
            time.sleep(0.1)

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(_MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


def _is_server(process: psutil.Process, driver: int) -> bool:
    try:
        return process.ppid() == driver and "forkserver" in " ".join(process.cmdline())
    except psutil.Error:
        return False
