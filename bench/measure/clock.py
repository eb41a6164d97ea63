"""Seconds by phase, booked exclusively: a phase within a phase pauses the outer one, so the parts add up."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.readings import Lap


def _nothing() -> None:
    """Stand in for a device synchronise where work is done when a call returns."""


class PhaseClock:
    """Accumulates wall seconds (``time.perf_counter``) under phase names.

    Args:
        synchronize: Called before the clock is read, so that work queued on a device is booked where it was caused.
    """

    def __init__(self, synchronize: Callable[[], None] = _nothing) -> None:
        self._synchronize = synchronize
        self._seconds: dict[str, float] = {}
        self._running: list[str] = []
        self._since = 0.0
        self._laps: list[Lap] = []

    def enter(self, phase: str) -> None:
        """Start a phase; the one it interrupts, if any, is paused."""
        self._book()
        self._running.append(phase)

    def leave(self) -> None:
        """End the latest phase; the one it interrupted goes on."""
        self._book()
        self._running.pop()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Book the body of a ``with`` block under ``name``."""
        self.enter(name)
        try:
            yield
        finally:
            self.leave()

    @contextmanager
    def lap(self, windows: int) -> Iterator[None]:
        """Time the body of a ``with`` block as one batch of so many windows, beside the phases."""
        started = self.now()
        yield
        self._laps.append(Lap(windows, self.now() - started))

    @property
    def laps(self) -> tuple[Lap, ...]:
        """The batches so far."""
        return tuple(self._laps)

    def seconds(self, phase: str) -> float:
        """Return the seconds booked under a phase so far; 0 for one that never ran."""
        return self._seconds.get(phase, 0.0)

    def now(self) -> float:
        """Read the clock, in seconds from an arbitrary origin, once the device has caught up."""
        self._synchronize()
        return time.perf_counter()

    def _book(self) -> None:
        now = self.now()
        if self._running:
            phase = self._running[-1]
            self._seconds[phase] = self._seconds.get(phase, 0.0) + now - self._since
        self._since = now
