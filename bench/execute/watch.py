"""Watching a run's process from outside: what it says, what is seen of it, and how it ends."""

import math
import multiprocessing
import time
from collections.abc import Callable, Collection, Sequence
from itertools import pairwise
from multiprocessing import connection
from typing import TypeAlias

from bench.config import Config
from bench.execute import child
from bench.measure.timeline import ProcessSampler
from bench.readings import PhaseMark, Sample
from bench.records import Status

_PARTING_S = 10.0  # what a process may take to go once it has told its ending

Source: TypeAlias = int | connection.Connection
"""What :func:`multiprocessing.connection.wait` waits for."""


def first_to_go(watches: Sequence["Watch"]) -> "Watch":
    """Watch several processes until one of them is gone, out of time, or done with what it had to say.

    One loop looks at all of them: a thread for each would take turns with the others anyway.
    """
    while True:
        for watch in watches:
            if watch.look():
                return watch
        wait_s = min(watch.due_s for watch in watches) - time.monotonic()
        ready = connection.wait([source for watch in watches for source in watch.sources], timeout=max(0.0, wait_s))
        for watch in watches:
            watch.hear(ready)


class Watch:
    """Samples a run's process at a steady rate and listens to it, until it is gone or out of time.

    What it tells of its progress goes to ``told``.

    Attributes:
        ending: How the run ended, as it told; null where its process died without a word, or goes on.
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
        self._next_sample_s = started_s
        self._gone = False
        self.ending: child.Ending | None = None
        self.samples: list[Sample] = []
        self.marks = [PhaseMark("start", 0.0)]

    def look(self) -> bool:
        """Take a sample if one is due; tells whether there is nothing more to be seen.

        A process that has told its ending is given a moment to go, and then no longer waited for.
        """
        now_s = time.monotonic()
        if not self._gone and now_s >= self._give_up_s:
            self._hear_the_rest()
            self.ending = self.ending or self._out_of_time()
            self._gone = True
        elif not self._gone and now_s >= self._next_sample_s:
            self._sample(now_s)
            self._next_sample_s += self._period_s * (1 + (now_s - self._next_sample_s) // self._period_s)
        return self._gone

    @property
    def due_s(self) -> float:
        """When to look again at the latest, on the clock of :func:`time.monotonic`."""
        return min(self._next_sample_s, self._give_up_s)

    @property
    def sources(self) -> list[Source]:
        """What tells that something has happened."""
        return [self._process.sentinel, *([] if self._receiver is None else [self._receiver])]

    def hear(self, ready: Collection[object]) -> None:
        """Take note of what has happened, of the sources that are ready."""
        if self._receiver in ready:
            self._listen()
        elif self._process.sentinel in ready:
            self._gone = True

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
            self.ending = message
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
