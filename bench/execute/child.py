"""What happens inside a run's own process."""

import faulthandler
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import connection, parent_process
from pathlib import Path

from bench.errors import BenchError
from bench.races import Standing, how_beaten
from bench.records import Job, Status, TrialOutcome
from bench.score.race import Beaten

VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"
"""Environment variable that says which GPUs CUDA shows to a process."""


@dataclass(frozen=True)
class Place:
    """Where on its machine a run takes place; null leaves it anywhere.

    Attributes:
        cpus: Numbers of the logical processors it is bound to.
        gpus: The GPUs it sees, as :data:`VISIBLE_GPUS` has them.
    """

    cpus: tuple[int, ...] | None = None
    gpus: str | None = None


ANYWHERE = Place()


@dataclass(frozen=True)
class PhaseBegan:
    """Told by the child: the phase of that name begins, at a time of ``time.monotonic``, which all processes share."""

    name: str
    at_s: float


@dataclass(frozen=True)
class Heartbeat:
    """Told by the child now and then while something takes long: how far it is, for people."""

    note: str


@dataclass(frozen=True)
class Ending:
    """Told by the child: how its run ended.

    Attributes:
        retryable: Whether the same run might well end otherwise another time.
        standing: How far a run got that was ended early.
    """

    status: Status
    reason: str | None = None
    retryable: bool = False
    outcome: TrialOutcome | None = None
    traceback: str | None = None
    standing: Standing | None = None


def main(job: Job, sender: connection.Connection, log: Path, place: Place) -> None:
    """Execute a run, tell the driver what happens, and leave nothing behind.

    Args:
        job: The run.
        sender: Takes :class:`PhaseBegan` and :class:`Heartbeat`, and at last one :class:`Ending`.
        log: File that standard output and error go to, so that no library writes over the progress line.
        place: Where on the machine.
    """
    _lead_a_group()
    _settle(place)  # before any thread is started, which would stay where it is
    _end_with_driver()
    _write_output_to(log)

    def mark(phase: str) -> None:
        sender.send(PhaseBegan(phase, time.monotonic()))

    def tell(note: str) -> None:
        sender.send(Heartbeat(note))

    sender.send(_execute(job, mark, tell))
    sender.close()


def imported() -> None:
    """Do nothing, in a process that has everything imported; tells that the process server is ready."""


def _execute(job: Job, mark: Callable[[str], None], tell: Callable[[str], None]) -> Ending:
    try:
        from bench.trial import run

        return Ending(Status.ok, outcome=run(job, mark, tell))
    except Beaten as beaten:
        standing, how = beaten.standing, how_beaten(job.config.search.racing_margin)
        reason = f"{how} {standing.beaten_by} beyond doubt after {100 * standing.share:.0f} % of the audio"
        return Ending(Status.pruned, f"{reason} (search.racing)", standing=standing)
    except BenchError as error:
        return Ending(Status.error, str(error), retryable=False)
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        if _is_out_of_memory(error):
            return Ending(Status.oom, reason, traceback=traceback.format_exc())
        return Ending(Status.error, reason, retryable=True, traceback=traceback.format_exc())


def _settle(place: Place) -> None:
    if place.gpus is not None:
        os.environ[VISIBLE_GPUS] = place.gpus
    if place.cpus is not None:
        os.sched_setaffinity(0, place.cpus)
        # Libraries counted processors when they were imported, by the process server.
        if (torch := sys.modules.get("torch")) is not None:
            torch.set_num_threads(len(place.cpus))


def _is_out_of_memory(error: Exception) -> bool:
    """Tell whether Python, torch's device allocator, or torch's CPU allocator ran out of memory."""
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate memory" in str(error)


def _lead_a_group() -> None:
    """Leave the driver's terminal and its group, whose signals are the driver's to handle, and lead one of its own.

    So whatever the run starts can be ended with it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setsid"):
        os.setsid()
        # The process server holds them back.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGHUP})


def _end_with_driver() -> None:
    """End this process, and whatever it started, as soon as the driver is gone, however it went.

    A killed driver can clean up nothing.
    """
    driver = parent_process()
    assert driver is not None

    def watch() -> None:
        connection.wait([driver.sentinel])
        if hasattr(os, "killpg"):
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, name="watch-driver", daemon=True).start()


def _write_output_to(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)  # a link would have it write elsewhere, a named pipe wait
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)
    faulthandler.enable(file=2)
