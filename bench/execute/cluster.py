"""Runs on the nodes of a Ray cluster, each a task that executes it as its machine would by itself.

Ray decides where a run goes and tells when a node is lost; all else is :mod:`bench.execute.node`'s. Only the driver
writes results: a run travels there and back by Ray's own serialisation (pickle) of the frozen records of
:mod:`bench.records`, and nothing else that a user wrote is ever pickled.
"""

import dataclasses
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.config import Config, ExecutorConfig
from bench.errors import ExecutorError
from bench.execute import node
from bench.measure.counters import usable_cpus
from bench.measure.environment import version
from bench.records import Job, RunResult, Utterance

_GIB = 2**30
_ROOM_PERIOD_S = 5.0  # how often to ask which nodes there are
_MOST_SHARED = 16  # data sets that are kept in Ray's object store
_WAIT_S = 1.0
_ANSWERS_WITHIN_S = 10.0

Needs = Mapping[str, float]
"""What a run asks of its node, in Ray's words: ``CPU``, ``GPU``, and ``memory`` in bytes."""


@dataclass(frozen=True)
class _Flight:
    """A run that goes on somewhere."""

    job: Job
    started_s: float


class RayExecutor:
    """Executes runs as tasks of Ray, as many at a time as the cluster has room for.

    A task asks for as many processors as the run has ``threads``, for a GPU of its own where it needs one, and for
    ``executor.memory_gib``. What Ray loses, with a worker or a node, is an error like any other, to be tried again by
    whoever asked: Ray itself tries nothing twice.

    Args:
        config: Which cluster, and how many runs at a time.
        log_dir: Folder for what runs print, on the node.
        trains: Whether runs train.

    Raises:
        ExecutorError: Ray is not installed, or no cluster answers.
    """

    def __init__(self, config: ExecutorConfig, log_dir: Path, trains: bool) -> None:
        self._ray = _imported()
        self._config = config
        self._log_dir = log_dir.absolute()
        self._trains = trains
        self._flights: dict[Any, _Flight] = {}
        self._shared: dict[int, tuple[tuple[Utterance, ...], Any]] = {}
        self._needs: Needs = {"CPU": 1}
        self._room, self._room_known_s = 0, float("-inf")
        self._is_ours = not self._ray.is_initialized()
        if self._is_ours:
            self._connect()
        # Needs are told with each call: Ray would end the worker after each run of a function that always needs a GPU,
        # and the process server with it, which took seconds to import everything. GPU memory goes with a run's process.
        self._execute = self._ray.remote(node.execute)

    def warm_up(self) -> None:
        """Make sure that a node has what the driver has.

        Raises:
            ExecutorError: It lacks this package, or has another version of it.
        """
        try:
            found = self._ray.get(self._ray.remote(version).options(num_cpus=0).remote("asr-sweep"))
        except self._ray.exceptions.RayError as error:
            raise ExecutorError(
                f"the cluster's nodes cannot run asr-sweep ({_first_line(error)}); install there what is installed here"
            ) from None
        if found != version("asr-sweep"):
            raise ExecutorError(
                f"the cluster's nodes have asr-sweep {found}, this machine has {version('asr-sweep')}; install the same"
            )

    @property
    def has_room(self) -> bool:
        """Whether another run may be started now: by ``executor.workers``, or by what the nodes there are hold."""
        if self._config.workers is not None:
            return len(self._flights) < self._config.workers
        if time.monotonic() - self._room_known_s > _ROOM_PERIOD_S:
            self._room = max(1, sum(_fits(offer, self._needs) for offer in self._offers()))
            self._room_known_s = time.monotonic()
        return len(self._flights) < self._room

    def start(self, job: Job) -> None:
        """Hand a run to Ray.

        Raises:
            ExecutorError: No node could ever take it, of a cluster that this process started.
        """
        needs = needs_of(job.config)
        if needs != self._needs:
            self._needs, self._room_known_s = needs, float("-inf")
            self._refuse_more_than_there_is()
        errand = node.Errand(Path.cwd(), self._log_dir, self._trains, int(needs["CPU"]))
        task = self._execute.options(
            num_cpus=needs["CPU"],
            num_gpus=needs.get("GPU", 0),
            memory=needs.get("memory"),
            max_retries=0,  # an attempt is an attempt, and has a row
            scheduling_strategy="SPREAD",
            name=job.run_id,
        )
        reference = task.remote(dataclasses.replace(job, utterances=()), self._handed_over(job.utterances), errand)
        self._flights[reference] = _Flight(job, time.monotonic())

    def next(self) -> RunResult:
        """Wait for the next run that ends; one that was lost with its node has ended, in an error."""
        ready: list[Any] = []
        while not ready:
            ready, _ = self._ray.wait(list(self._flights), num_returns=1, timeout=_WAIT_S)
        flight = self._flights.pop(ready[0])
        try:
            result: RunResult = self._ray.get(ready[0])
        except self._ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error  # of what a task raised
            reason = f"Ray lost the run ({type(cause).__name__}: {_first_line(cause)})"
            return node.lost(flight.job, reason, retryable=True, wall_s=time.monotonic() - flight.started_s)
        return dataclasses.replace(result, job=flight.job)

    def execute(self, job: Job) -> RunResult:
        """Execute a run while no other goes on."""
        self.start(job)
        return self.next()

    def close(self) -> None:
        """End all runs that go on, and the cluster if it was started here."""
        for reference in self._flights:
            # The run's own process goes with the worker that watches it.
            self._ray.cancel(reference, force=True)
        self._flights.clear()
        self._shared.clear()
        if self._is_ours:
            self._ray.shutdown()

    def _connect(self) -> None:
        address = self._config.address
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody unless the user says so
        # Ray's workers let everything else on a machine go first, and so would the runs that they start.
        alike = {"worker_niceness": 0}
        cpus = max(1, int(usable_cpus()))
        here = {"num_cpus": cpus, "include_dashboard": False, "_system_config": alike} if address is None else {}
        try:
            _knock(address)
            with _own_handlers():
                self._ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **here)
        except Exception as error:  # Ray raises whatever it likes, Exception itself among it
            cure = (
                "it may have been too busy to start one in time; try again, or start one with: ray start --head"
                if address is None
                else "start one with ray start --head, and give its executor.address=HOST:PORT"
            )
            where = "on this machine" if address is None else f"at executor.address={address}"
            raise ExecutorError(f"no Ray cluster answers {where} ({_first_line(error)}); {cure}") from None

    def _refuse_more_than_there_is(self) -> None:
        """Refuse runs that would wait for ever; to an existing cluster, other nodes may yet come."""
        offers = self._offers() if self._is_ours and self._config.address is None else []
        if offers and not any(_fits(offer, self._needs) for offer in offers):
            has = {name: offers[0].get(name, 0) for name in self._needs}
            raise ExecutorError(
                f"a run asks for {_said(self._needs)}, and this machine has {_said(has)}; ask for less with threads,"
                " device or executor.memory_gib"
            )

    def _offers(self) -> list[Mapping[str, float]]:
        """List what each node has in all."""
        return [one["Resources"] for one in self._ray.nodes() if one["Alive"]]

    def _handed_over(self, utterances: tuple[Utterance, ...]) -> Any:
        """Put data into Ray's object store once, and not with every run over them."""
        known = self._shared.get(id(utterances))
        if known is None:
            if len(self._shared) >= _MOST_SHARED:
                del self._shared[next(iter(self._shared))]
            known = self._shared[id(utterances)] = (utterances, self._ray.put(utterances))
        return known[1]


def needs_of(config: Config) -> Needs:
    """Say what a run asks of its node; without ``threads`` that is one processor."""
    needs: dict[str, float] = {"CPU": config.threads or 1}
    if config.device != "cpu":
        needs["GPU"] = 1
    if config.executor.memory_gib is not None:
        needs["memory"] = config.executor.memory_gib * _GIB
    return needs


@contextmanager
def _own_handlers() -> Iterator[None]:
    """Keep the driver's way of handling SIGTERM, which Ray would replace by its own."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _knock(address: str | None) -> None:
    """Make sure that somebody listens at an address; Ray itself would go on trying for minutes.

    Raises:
        OSError: Nobody does.
    """
    host, _, port = (address or "").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_ANSWERS_WITHIN_S).close()


def _fits(offer: Mapping[str, float], needs: Needs) -> int:
    """Count how many runs fit on a node at a time."""
    return min(int(offer.get(name, 0) // amount) for name, amount in needs.items())


def _said(amounts: Mapping[str, float]) -> str:
    units = {"CPU": "processors", "GPU": "GPUs", "memory": "GiB of memory"}
    return ", ".join(
        f"{amount / _GIB if name == 'memory' else amount:.3g} {units[name]}" for name, amount in amounts.items()
    )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__


def _imported() -> Any:
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "error")  # or Ray's core would write over the progress line
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise ExecutorError("executor=ray needs Ray; install it with: pip install 'asr-sweep[ray]'") from None
    return ray
