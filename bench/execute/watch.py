"""Watching a run's process from outside: what it says, what is seen of it, and how it ends."""

import math
import multiprocessing
import time
from collections.abc import Callable
from itertools import pairwise
from multiprocessing import connection

from bench.config import Config
from bench.execute import child
from bench.measure.timeline import ProcessSampler
from bench.readings import PhaseMark, Sample
from bench.records import Status

_PARTING_S = 10.0  # what a process may take to go once it has told its ending


class Watch:
    """Samples a run's process at a steady rate and listens to it, until it is gone or out of time.

    What it tells of its progress goes to ``told``.

    Attributes:
        samples: What was seen so far.
        marks: The phases that have begun so far.
    """

    def __init__(
        self,
        process: multiprocessing.process.BaseProcess,
        receiver: connection.Connection,
        sampler: ProcessSampler,
        started_s: float,
        config: Config,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._process = process
        self._told = told
        self._receiver: connection.Connection | None = receiver
        self._started_s = started_s
        self._limit_s = config.executor.timeout_s
        self._give_up_s = math.inf if self._limit_s is None else started_s + self._limit_s
        self._period_s = 1 / config.measure.sample_hz
        self._sampler = sampler
        self._ending: child.Ending | None = None
        self.samples: list[Sample] = []
        self.marks = [PhaseMark("start", 0.0)]

    def until_gone(self) -> child.Ending | None:
        """Watch; returns how the run ended, or null where its process died without a word.

        A process that has told its ending is given a moment to go, and then no longer waited for.
        """
        next_sample_s = self._started_s
        while True:
            now_s = time.monotonic()
            if now_s >= self._give_up_s:
                self._hear_the_rest()
                return self._ending or self._out_of_time()
            if now_s >= next_sample_s:
                self._sample(now_s)
                next_sample_s += self._period_s * (1 + (now_s - next_sample_s) // self._period_s)
            sources: list[int | connection.Connection] = [self._process.sentinel]
            if self._receiver is not None:
                sources.append(self._receiver)
            wait_s = min(next_sample_s, self._give_up_s) - time.monotonic()
            ready = connection.wait(sources, timeout=max(0.0, wait_s))
            if self._receiver in ready:
                self._listen()
            elif self._process.sentinel in ready:
                return self._ending

    @property
    def timed(self) -> tuple[float, float] | None:
        """When the timed passes began and ended, on the timeline's clock; null for a run that did not get that far."""
        for mark, following in pairwise(self.marks):
            if mark.phase == "inference":
                return mark.t_s, following.t_s
        return None

    def while_timed(self) -> list[Sample]:
        """The samples from the time of the timed passes."""
        first_s, last_s = self.timed or (math.inf, math.inf)
        return [sample for sample in self.samples if first_s <= sample.t_s < last_s]

    def _hear_the_rest(self) -> None:
        while self._receiver is not None and self._receiver.poll():
            self._listen()

    def _sample(self, now_s: float) -> None:
        sample = self._sampler.sample(now_s - self._started_s, self.marks[-1].phase)
        if sample is not None:
            self.samples.append(sample)

    def _listen(self) -> None:
        assert self._receiver is not None
        try:
            message = self._receiver.recv()
        except (EOFError, OSError):  # closed, or killed in the middle of a message
            self._receiver = None
            return
        if isinstance(message, child.Ending):
            self._ending = message
            self._give_up_s = time.monotonic() + _PARTING_S
        elif isinstance(message, child.Heartbeat):
            self._told(message.note)
        else:
            self.marks.append(PhaseMark(message.name, message.at_s - self._started_s))
            self._sample(time.monotonic())  # so that what grows is known at the edges of every phase

    def _out_of_time(self) -> child.Ending:
        phase = self.marks[-1].phase
        reason = f"still in phase {phase!r} after executor.timeout_s={self._limit_s:g}; raise it or ask for less"
        return child.Ending(Status.timeout, reason, retryable=True)
