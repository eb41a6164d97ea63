"""Runs on this machine, one at a time, each in a child of a process server that has the libraries imported."""

import dataclasses
import multiprocessing
import os
import signal
import sys
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path

from bench.execute import child
from bench.execute.watch import Watch
from bench.measure import cgroup, memory
from bench.measure.energy import EnergyMeter
from bench.measure.gpu import GpuProbe, open_probe
from bench.measure.timeline import ProcessSampler
from bench.measure.validity import certify
from bench.readings import Certificate, EnergyUse, Environment
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


class LocalExecutor:
    """Executes runs in processes forked from a server that never touches a device.

    A process a run makes peak memory the run's own, lets an out-of-memory kill take down a run and not the study, and
    starts CUDA clean; the server makes it cost a fork instead of seconds of imports. Where a platform has no
    fork server, each run is a fresh interpreter.

    Args:
        log_dir: Folder for what runs print; an empty log is removed.
        environment: The machine, stored with every run together with the GPU it used.
        trains: Whether runs train, which takes further libraries.
    """

    def __init__(self, log_dir: Path, environment: Environment, trains: bool = False) -> None:
        self._log_dir = log_dir
        self._environment = environment
        # CUDA would number the fastest GPU first, NVML goes by the bus: let both mean the same device by cuda:1.
        os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
        self._context: ForkServerContext | SpawnContext
        if "forkserver" in multiprocessing.get_all_start_methods():
            self._context = multiprocessing.get_context("forkserver")
            self._context.set_forkserver_preload([*_PRELOAD, *(_PRELOAD_TO_TRAIN if trains else ())])
        else:
            self._context = multiprocessing.get_context("spawn")

    def warm_up(self) -> None:
        """Wait until the process server has imported everything, so that the first run does not pay for it."""
        process = self._context.Process(target=child.imported)
        try:
            with _starting():
                process.start()
            process.join()
        finally:
            _end(process)

    def execute(self, job: Job, told: Callable[[str], None] = lambda _: None) -> RunResult:
        """Execute a run and watch it until its process is gone.

        Whatever happens in the process becomes a status; only what happens to the driver itself is raised, after the
        run's process has been ended.

        Args:
            job: The run.
            told: Told now and then how far it is, where that takes long.
        """
        started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        gpu = open_probe(job.config.device)
        energy = EnergyMeter(gpu)
        gpu_before = gpu.sample(0) if gpu else None
        container_peak_mib = cgroup.memory_peak_mib()
        oom_kills = memory.oom_kills()
        log = self._log_dir / f"{job.run_id}.{job.attempt}.log"
        receiver, sender = self._context.Pipe(duplex=False)
        started_s = time.monotonic()
        process = self._context.Process(target=child.main, args=(job, sender, log))
        try:
            with _starting():
                process.start()
            sender.close()
            sampler = ProcessSampler(process.pid or 0, gpu, energy)
            watch = Watch(process, receiver, sampler, started_s, job.config, told)
            ending = watch.until_gone() or _explain_death(process.exitcode, oom_kills, log)
        finally:
            _end(process)
        wall_s = time.monotonic() - started_s
        if log.exists() and not log.stat().st_size:
            log.unlink()
        return RunResult(
            job=job,
            status=ending.status,
            status_reason=ending.reason,
            retryable=ending.retryable,
            started_at=started_at,
            wall_s=wall_s,
            outcome=ending.outcome,
            timeline=tuple(watch.samples),
            environment=self._on(gpu),
            traceback=ending.traceback,
            marks=tuple(watch.marks),
            energy=EnergyUse() if watch.timed is None else energy.used(watch.samples, *watch.timed),
            gpu_memory_before_mib=gpu_before.memory_mib if gpu_before else None,
            standing=ending.standing if ending.outcome is None else ending.outcome.standing,
            cgroup_peak_mib=_risen(container_peak_mib, cgroup.memory_peak_mib()),
            certificate=_certificate(ending.outcome, watch, on_gpu=gpu is not None),
        )

    def _on(self, gpu: GpuProbe | None) -> Environment:
        if gpu is None:
            return self._environment
        return dataclasses.replace(self._environment, gpu=gpu.name, gpu_driver=gpu.driver, gpu_cuda=gpu.cuda)


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


def _end(process: multiprocessing.process.BaseProcess) -> None:
    """Make sure that a process is gone, if it ever came to be."""
    if process.pid is not None:
        if process.is_alive():
            process.kill()
        process.join()


@contextmanager
def _starting() -> Iterator[None]:
    """Start a process undisturbed by Ctrl-C, and without the driver's main module.

    The interrupt is held back until the process has been handed over; the process server and its children inherit that
    and never see one, since it is the driver's to handle.

    multiprocessing would import the main module again in every child: seconds for a notebook or script that imports
    torch, and an endless recursion for a script without ``if __name__ == "__main__"``. A run needs nothing from it.
    """
    can_hold_back = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if can_hold_back else set()
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        if can_hold_back:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
