"""What executes runs, whichever kind is asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from bench.config import Config, ExecutorKind, Task
from bench.execute import local
from bench.execute.local import LocalExecutor
from bench.readings import Environment
from bench.records import Job, RunResult


class Executor(Protocol):
    """Executes runs, several at a time where it has room for them. Only the thread that made it uses it."""

    @property
    def has_room(self) -> bool:
        """Whether another run may be started now."""
        ...

    def warm_up(self) -> None:
        """Wait until runs can be started, so that the first does not pay for what is set up once."""
        ...

    def start(self, job: Job) -> None:
        """Start a run."""
        ...

    def next(self) -> RunResult:
        """Wait for the next run that ends; call it only while one goes on."""
        ...

    def execute(self, job: Job) -> RunResult:
        """Execute a run while no other goes on."""
        ...

    def close(self) -> None:
        """End all runs that go on, and whatever was started for them."""
        ...


def expect_runs(config: Config) -> None:
    """Begin what the first run needs and takes seconds, while there is other work; :class:`Executor` waits for it.

    Args:
        config: Any configuration of the study.
    """
    if config.executor.kind is ExecutorKind.local:
        local.expect_runs(config.task is Task.finetune)


def make_executor(
    config: Config, log_dir: Path, environment: Environment, trains: bool, told: Callable[[str], None]
) -> Executor:
    """Make the executor that a study asks for.

    Args:
        config: Any configuration of the study.
        log_dir: Folder for what runs print.
        environment: This machine.
        trains: Whether runs train.
        told: Told now and then how far a run on this machine is, where that takes long.

    Raises:
        ExecutorError: It cannot be had.
    """
    if config.executor.kind is ExecutorKind.ray:
        from bench.execute.cluster import RayExecutor  # Ray is not installed everywhere, and takes a second to import

        return RayExecutor(config.executor, log_dir, trains)
    return LocalExecutor(log_dir, environment, trains, config.executor.workers or 1, told)
