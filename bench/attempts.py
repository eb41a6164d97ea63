"""The attempts at a run, as the names of its files tell them."""

from dataclasses import dataclass

from bench.errors import StoreError
from bench.records import Status
from bench.storage import Place

UNFINISHED = (Status.error, Status.timeout)
"""How an attempt ends that leaves the run without a result."""

_MOST = 2**31 - 1  # attempts that the tables' column can hold


@dataclass(frozen=True)
class Attempt:
    """What a run file's name says: which run, which attempt, and how it ended."""

    run_id: str
    attempt: int
    status: Status

    @property
    def file_name(self) -> str:
        """Name of the run's file in each of the study's folders."""
        return f"{self.run_id}.{self.attempt}.{self.status.value}.parquet"

    @classmethod
    def of(cls, path: Place) -> "Attempt":
        """Read a file name.

        Raises:
            StoreError: The name is not one the store writes.
        """
        try:
            run_id, attempt, status, _ = path.name.split(".")
            told = cls(run_id, int(attempt), Status(status))
        except ValueError:
            told = None
        # Python reads "01" and Arabic digits as numbers too, and then no file has the name that is made of them.
        if told is None or told.file_name != path.name or told.attempt > _MOST:
            raise StoreError(
                f"{path} is not a run file (<run_id>.<attempt>.<status>.parquet); move it out of the study's folder"
            )
        return told


@dataclass(frozen=True)
class History:
    """All attempts at one run so far, in their order; at least one."""

    attempts: tuple[Attempt, ...]

    @property
    def standing(self) -> Attempt:
        """The attempt that counts: the last one that ended well, else the last.

        So a run whose timing was not valid keeps its result when it is run again and fails.
        """
        good = [one for one in self.attempts if one.status is Status.ok]
        return (good or self.attempts)[-1]

    @property
    def last(self) -> int:
        """Number of the latest attempt."""
        return self.attempts[-1].attempt

    @property
    def reruns(self) -> int:
        """Attempts since the first that ended well; they were made for the sake of a valid timing."""
        first = next((one for one in self.attempts if one.status is Status.ok), None)
        return 0 if first is None else sum(one.attempt > first.attempt for one in self.attempts)

    def then(self, attempt: Attempt) -> "History":
        """Add an attempt."""
        return History((*self.attempts, attempt))
