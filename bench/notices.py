"""What is good to know of a study before anything runs."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from bench.agenda import Agenda
from bench.config import Config, ExecutorConfig, ExecutorKind, FoldMethod, Task
from bench.forecast.precision import precision_lines
from bench.jobs import JobMaker
from bench.measure.counters import usable_cpus
from bench.records import Job
from bench.search.compose import Composed


class Reader(Protocol):
    """Is told what is good to know."""

    def noted(self, message: str) -> None:
        """Told of what is good to know before anything runs."""
        ...

    def warned(self, message: str) -> None:
        """Told of what may be a mistake and is run all the same."""
        ...


def announce(study: Composed, maker: JobMaker, agenda: Agenda, reader: Reader) -> None:
    """Tell what is good to know of a study: of its data where anything of it is left to run, and of its timings."""
    if agenda.done < agenda.planned:
        for line in precision_lines(study.sources(), maker) if study.config.task is Task.transcribe else ():
            reader.noted(line)
        for line in _of_the_data(study, maker):
            reader.noted(line)
        for line in _of_the_executor(study.config):
            reader.noted(line)
    if warning := _oversubscription(agenda.jobs, study.config.executor):
        reader.warned(warning)


def _of_the_data(study: Composed, maker: JobMaker) -> list[str]:
    """Say what there is to know of the data of a fine-tuning study."""
    told: dict[str, None] = {}
    for config in study.sources():
        if config.task is Task.finetune:
            told |= dict.fromkeys(maker.sets(config).told)
            if config.finetune.folds.method is not FoldMethod.none:
                told |= dict.fromkeys(maker.folds(config).told)
    return list(told)


def _of_the_executor(config: Config) -> Iterator[str]:
    """Say what there is to know of timings where runs are not executed one at a time on this machine."""
    executor = config.executor
    if executor.kind is ExecutorKind.local and executor.workers != 1:
        yield (
            f"up to {executor.workers} runs share this machine (executor.workers={executor.workers}): none of their"
            " timings is valid, and reports leave them out; texts and WER are what they are"
        )
    if executor.kind is ExecutorKind.ray and config.threads is None:
        yield "executor=ray binds each run to as many processors as it has threads: to one, where threads=null"


def _oversubscription(jobs: Iterable[Job], executor: ExecutorConfig) -> str | None:
    if executor.kind is not ExecutorKind.local:  # whose runs have processors of their own
        return None
    most = max((job.config.threads or 0 for job in jobs if job.config.device == "cpu"), default=0)
    workers, usable = executor.workers or 1, usable_cpus()
    if most * workers <= usable:
        return None
    times = f" times executor.workers={workers}" if workers > 1 else ""
    return (
        f"threads={most}{times} is more than the {usable:g} processors this process may use; they will wait for each"
        " other"
    )
