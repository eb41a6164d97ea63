"""Runs on this machine, each in a child of a process server that has the libraries imported."""

import dataclasses
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path

from bench.errors import BenchError, ExecutorError
from bench.execute import child
from bench.execute.watch import Watch, first_to_go
from bench.measure import cgroup, memory
from bench.measure.energy import EnergyMeter
from bench.measure.gpu import GpuProbe, open_probe
from bench.measure.timeline import ProcessSampler
from bench.measure.validity import certify
from bench.readings import Certificate, Doubt, EnergyUse, Environment, Finding
from bench.records import Job, RunResult, Status, TrialOutcome

# Importing transformers alone leaves two seconds a run for the model family's own modules.
_PRELOAD = [
    "bench.trial",
    "bench.inference.ctc",
    "bench.inference.seq2seq",
    "bench.inference.whisper",
    "transformers.models.whisper.modeling_whisper",
    "transformers.models.whisper.generation_whisper",
]


_PRELOAD_TO_TRAIN = ["bench.finetune.train"]

# A server that was killed refuses connections before it is gone, and while it is there no other is started: it gives
# back a gigabyte first.
_PAUSES_S = (0.05, 0.2, 0.8, 3.2)

_ONE_STARTS = threading.Lock()

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that ask a study to end; they are the driver's to handle."""


@dataclass(frozen=True)
class _Flight:
    """A run that goes on, and what was known as it began."""

    job: Job
    started_at: str
    started_s: float
    process: multiprocessing.process.BaseProcess
    watch: Watch
    gpu: GpuProbe | None
    energy: EnergyMeter
    gpu_memory_before_mib: float | None
    container_peak_mib: float | None
    oom_kills: int | None
    log: Path


def expect_runs(trains: bool) -> None:
    """Let the process server begin to import what runs need, and do not wait for it."""
    if isinstance(_context(trains), ForkServerContext):
        with _starting():
            forkserver.ensure_running()


def _context(trains: bool) -> ForkServerContext | SpawnContext:
    # CUDA would number the fastest GPU first, NVML goes by the bus: let both mean the same device by cuda:1.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_PRELOAD, *(_PRELOAD_TO_TRAIN if trains else ())])
    return context


class LocalExecutor:
    """Executes runs in processes forked from a server that never touches a device.

    A process a run makes peak memory the run's own, lets an out-of-memory kill take down a run and not the study, and
    starts CUDA clean; the server makes it cost a fork instead of seconds of imports. Where a platform has no
    fork server, each run is a fresh interpreter.

    Args:
        log_dir: Folder for what runs print; an empty log is removed.
        environment: The machine, stored with every run together with the GPU it used.
        trains: Whether runs train, which takes further libraries.
        workers: Runs at a time. More than one disturb each other, and their certificates say so.
        told: Told now and then how far a run is that takes long.
    """

    def __init__(
        self,
        log_dir: Path,
        environment: Environment,
        trains: bool = False,
        workers: int = 1,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._log_dir = log_dir
        self._told = told
        self._environment = environment
        self._workers = workers
        self._flights: list[_Flight] = []
        self._context = _context(trains)

    def warm_up(self) -> None:
        """Wait until the process server has imported everything, so that the first run does not pay for it."""
        process = self._context.Process(target=child.imported)
        try:
            _start(process)
            process.join()
        finally:
            _end(process)

    @property
    def has_room(self) -> bool:
        """Whether another run may be started now."""
        return len(self._flights) < self._workers

    def start(self, job: Job, place: child.Place = child.ANYWHERE) -> None:
        """Start a run, at a place on this machine."""
        started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        gpu = open_probe(job.config.device)
        energy = EnergyMeter(gpu)
        gpu_before = gpu.sample(0) if gpu else None
        container_peak_mib = cgroup.memory_peak_mib()
        oom_kills = memory.oom_kills()
        log = self._log_dir / f"{job.run_id}.{job.attempt}.log"
        receiver, sender = self._context.Pipe(duplex=False)
        started_s = time.monotonic()
        process = self._context.Process(target=child.main, args=(job, sender, log, place))
        try:
            _start(process)
            sender.close()
            sampler = ProcessSampler(process.pid or 0, gpu, energy)
            watch = Watch(process, receiver, sampler, started_s, job.config, self._told)
            self._flights.append(
                _Flight(
                    job=job,
                    started_at=started_at,
                    started_s=started_s,
                    process=process,
                    watch=watch,
                    gpu=gpu,
                    energy=energy,
                    gpu_memory_before_mib=gpu_before.memory_mib if gpu_before else None,
                    container_peak_mib=container_peak_mib,
                    oom_kills=oom_kills,
                    log=log,
                )
            )
        except BaseException:
            _end(process)
            raise

    def next(self) -> RunResult:
        """Watch the runs that go on until the process of one of them is gone, and tell what came of it.

        Whatever happens in the process becomes a status; only what happens to the driver itself is raised.
        """
        watch = first_to_go([flight.watch for flight in self._flights])
        flight = next(one for one in self._flights if one.watch is watch)
        try:
            ending = watch.ending or _explain_death(flight.process.exitcode, flight.oom_kills, flight.log)
        finally:
            _end(flight.process)
            self._flights.remove(flight)
        result = self._result(flight, ending)
        if self._workers == 1:
            return result
        return in_company(result, f"up to {self._workers} runs shared the machine (executor.workers={self._workers})")

    def execute(self, job: Job, place: child.Place = child.ANYWHERE) -> RunResult:
        """Execute a run while no other goes on: :meth:`start`, and :meth:`next`.

        What happens to the driver itself is raised after the run's process has been ended.
        """
        try:
            self.start(job, place)
            return self.next()
        finally:
            self.close()

    def close(self) -> None:
        """End all runs that go on; nothing is told of them."""
        for flight in self._flights:
            _end(flight.process)
        self._flights.clear()

    def _result(self, flight: _Flight, ending: child.Ending) -> RunResult:
        wall_s = time.monotonic() - flight.started_s
        watch = flight.watch
        if flight.log.exists() and not flight.log.stat().st_size:
            flight.log.unlink()
        return RunResult(
            job=flight.job,
            status=ending.status,
            status_reason=ending.reason,
            retryable=ending.retryable,
            started_at=flight.started_at,
            wall_s=wall_s,
            outcome=ending.outcome,
            timeline=tuple(watch.samples),
            environment=self._on(flight.gpu),
            traceback=ending.traceback,
            marks=tuple(watch.marks),
            energy=EnergyUse() if watch.timed is None else flight.energy.used(watch.samples, *watch.timed),
            gpu_memory_before_mib=flight.gpu_memory_before_mib,
            standing=ending.standing if ending.outcome is None else ending.outcome.standing,
            cgroup_peak_mib=_risen(flight.container_peak_mib, cgroup.memory_peak_mib()),
            certificate=_certificate(ending.outcome, watch, on_gpu=flight.gpu is not None),
        )

    def _on(self, gpu: GpuProbe | None) -> Environment:
        if gpu is None:
            return self._environment
        return dataclasses.replace(self._environment, gpu=gpu.name, gpu_driver=gpu.driver, gpu_cuda=gpu.cuda)


def in_company(result: RunResult, what: str) -> RunResult:
    """Mark a run that others shared its machine with: its timing is not valid, and the container's peak not its own.

    Args:
        result: The run.
        what: What was seen, as a sentence with figures.
    """
    certificate = result.certificate
    if certificate is not None:
        findings = (*certificate.findings, Finding(Doubt.shared, what))
        certificate = dataclasses.replace(certificate, findings=findings)
    return dataclasses.replace(result, certificate=certificate, cgroup_peak_mib=None)


def _certificate(outcome: TrialOutcome | None, watch: Watch, on_gpu: bool) -> Certificate | None:
    if outcome is None:
        return None
    return certify([one.inference_s for one in outcome.passes], outcome.counters, watch.while_timed(), on_gpu)


def _risen(before: float | None, after: float | None) -> float | None:
    """A peak that rose meanwhile is the run's; one that had been higher before says nothing of it."""
    return after if before is not None and after is not None and after > before else None


def _explain_death(exitcode: int | None, oom_kills_before: int | None, log: Path) -> child.Ending:
    """Say why a process died without a word; out of memory only where the kernel says that it killed for it."""
    oom_kills = memory.oom_kills()
    if exitcode == -signal.SIGKILL and oom_kills is not None and oom_kills > (oom_kills_before or 0):
        return child.Ending(Status.oom, "killed by the kernel for want of memory; use a smaller batch or model")
    if exitcode is not None and exitcode < 0:
        # Real-time signals have a number and no name.
        name = signal.Signals(-exitcode).name if -exitcode in set(signal.Signals) else "a real-time signal"
        how = f"was killed by signal {-exitcode} ({name})"
    else:
        how = f"ended by itself with exit code {exitcode}"
    printed = f"; it printed what is in {log}" if log.exists() and log.stat().st_size else ""
    return child.Ending(Status.error, f"the run's process {how}{printed}", retryable=True)


def _start(process: multiprocessing.process.BaseProcess) -> None:
    """Start a process; where the process server is killed meanwhile, by a new one.

    Raises:
        BenchError: It is killed again and again.
    """
    for pause_s in (*_PAUSES_S, None):
        try:
            with _starting():
                process.start()
            return
        except (EOFError, ConnectionError):  # the server did not answer, or is no longer there
            if pause_s is not None:
                time.sleep(pause_s)
    raise BenchError(
        "the process that runs are forked from was killed each time it was started; see whether the machine has memory"
        " left for it, about 1 GiB"
    )


def _end(process: multiprocessing.process.BaseProcess) -> None:
    """Make sure that a process is gone, and whatever it started, if it ever came to be."""
    if process.pid is not None:
        if hasattr(os, "killpg"):
            # A run leads a group of its own. There is none where it is over, or did not get that far.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        if process.is_alive():
            process.kill()
        process.join()


@contextmanager
def _starting() -> Iterator[None]:
    """Start a process undisturbed by Ctrl-C and its like, and without the driver's main module.

    They are held back until the process has been handed over. The process server inherits that and never sees one,
    whoever else in the driver's group or terminal does; it goes when the driver is gone.

    multiprocessing would import the main module again in every child: seconds for a notebook or script that imports
    torch, and an endless recursion for a script without ``if __name__ == "__main__"``. A run needs nothing from it.

    Raises:
        ExecutorError: This process cannot start others; the message says why.
    """
    if multiprocessing.current_process().daemon:
        raise ExecutorError(
            "runs are processes, and a daemonic process of multiprocessing cannot start any; start it with daemon=False"
        )
    can_hold_back = hasattr(signal, "pthread_sigmask")
    with _ONE_STARTS:  # threads share the main module
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING) if can_hold_back else set()
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        except ChildProcessError:  # the server is another process's child
            raise ExecutorError(
                "this process was forked from one that has run studies, and cannot use its process server; start it"
                " with multiprocessing.get_context('spawn')"
            ) from None
        except OSError as error:
            if "AF_UNIX path too long" not in str(error):  # Python's own, without a number
                raise
            raise ExecutorError(
                f"the folder for temporary files, {tempfile.gettempdir()}, has too long a path for the sockets that"
                " processes talk through; set TMPDIR to a shorter one"
            ) from None
        finally:
            sys.modules["__main__"] = main
            if can_hold_back:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
