"""What happens on a node of a cluster: one run, in a process of its own, on processors of its own."""

import dataclasses
import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from bench.execute.child import VISIBLE_GPUS, Place
from bench.execute.local import LocalExecutor, in_company
from bench.execute.processors import Held, held
from bench.measure.environment import describe, ranges
from bench.readings import Environment
from bench.records import Job, RunResult, Status, Utterance


@dataclass(frozen=True)
class Errand:
    """What a node is told besides the run.

    Attributes:
        folder: The driver's working folder, from which relative paths of recordings and models start.
        log_dir: Folder for what the run prints.
        trains: Whether it trains.
        processors: How many processors it is bound to.
    """

    folder: Path
    log_dir: Path
    trains: bool
    processors: int


def execute(job: Job, utterances: tuple[Utterance, ...], errand: Errand) -> RunResult:
    """Execute a run here, by the executor that any machine has; its result comes without the job.

    The environment is that of this node. A run whose timing others may have disturbed says so: on a CPU that is any
    that runs had to share, be it only its memory and caches; on a GPU, which nobody shares, only its processors.

    Args:
        job: The run, without the utterances that it transcribes.
        utterances: Those.
        errand: What else there is to know.
    """
    job = dataclasses.replace(job, utterances=utterances)
    if (lack := _lack(job, errand)) is not None:
        return lost(job, lack, retryable=False)
    os.chdir(errand.folder)
    executor = _executor(errand.log_dir, errand.trains)
    with held(errand.processors) as taken:
        place = Place(taken.cpus, os.environ.get(VISIBLE_GPUS))
        result = executor.execute(job, place=place)
        what = _company(taken, errand.processors, on_gpu=job.config.device != "cpu")
    result = dataclasses.replace(result, environment=_bound(result.environment, taken))
    return without_data(result if what is None else in_company(result, what))


def lost(job: Job, reason: str, retryable: bool, wall_s: float = 0.0) -> RunResult:
    """Make the result of a run that nobody could tell the end of.

    Args:
        job: The run.
        reason: What is known, as a sentence.
        retryable: Whether it might go well another time.
        wall_s: Seconds since it was asked for.
    """
    return RunResult(
        job=job,
        status=Status.error,
        status_reason=reason,
        retryable=retryable,
        started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        wall_s=wall_s,
        outcome=None,
        timeline=(),
        environment=Environment(),
    )


def without_data(result: RunResult) -> RunResult:
    """Take the job's data off a result: whoever sent it knows them."""
    return dataclasses.replace(result, job=dataclasses.replace(result.job, utterances=(), training=()))


@lru_cache(maxsize=1)
def _executor(log_dir: Path, trains: bool) -> LocalExecutor:
    """Make the executor of this process, which serves one run after the other; the first does not pay for that."""
    executor = LocalExecutor(log_dir, describe(), trains)
    executor.warm_up()
    return executor


def _lack(job: Job, errand: Errand) -> str | None:
    """Say which folder of the driver's machine is not here; null where none is missed."""
    for what, folder in (("working folder", str(errand.folder)), ("model", job.model_path)):
        if folder and not (errand.folder / folder).is_dir():
            return (
                f"node {platform.node()} has no {errand.folder / folder}, the driver's {what}; start the study from a"
                " folder that all nodes share, with ASR_SWEEP_CACHE in it"
            )
    return None


def _bound(environment: Environment, taken: Held) -> Environment:
    if taken.cpus is None:
        return environment
    return dataclasses.replace(environment, cpu_usable=len(taken.cpus), cpu_affinity=ranges(taken.cpus))


def _company(taken: Held, processors: int, on_gpu: bool) -> str | None:
    """Say what stands against a timing taken here; null where nothing does."""
    if taken.cpus is None:
        return f"the node had no {processors} processors to bind the run to, which others were not bound to"
    if taken.company() and not on_gpu:
        return f"other runs were executed on the node, beside its processors {ranges(taken.cpus)}: memory was shared"
    return None
