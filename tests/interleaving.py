"""Actors that take turns at each operation of storage, in an order that a test draws; any may be killed at any of them.

Each actor is a thread, of which one runs at a time: until its next operation, where it waits to be chosen again. So an
order of turns determines all that happens, and Hypothesis can look for one that goes wrong and make it short.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from bench import compaction, layout
from bench.storage import Place, sizes

_HERE = threading.local()


class Killed(BaseException):
    """Raised in an actor at the operation where it is killed."""


class _Actor:
    def __init__(self, act: Callable[[], None], killed_at: int | None) -> None:
        self.go, self.waits = threading.Semaphore(0), threading.Semaphore(0)
        self.ended = False
        self.failure: BaseException | None = None
        self._act, self._left = act, killed_at
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        _HERE.actor = self
        self.go.acquire()
        try:
            self._act()
        except Killed:
            pass
        except BaseException as error:  # told by the test's own thread
            self.failure = error
        self.ended = True
        self.waits.release()

    def pause(self) -> None:
        """Wait for the next turn."""
        self.waits.release()
        self.go.acquire()
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise Killed

    def turn(self) -> None:
        """Let it run until it waits again, or has ended."""
        self.go.release()
        self.waits.acquire()
        if self.failure is not None:
            raise self.failure


def play(actors: Iterable[tuple[Callable[[], None], int | None]], turns: Iterable[int]) -> None:
    """Run actors to their ends: in the given order of turns as long as that lasts, then one after the other.

    Args:
        actors: What each does, and the operation before which it is killed; null lets it live.
        turns: Numbers, taken by the number of actors that are left.
    """
    left = [_Actor(act, killed_at) for act, killed_at in actors]
    for turn in turns:
        if not left:
            return
        left[turn % len(left)].turn()
        left = [actor for actor in left if not actor.ended]
    for actor in left:
        while not actor.ended:
            actor.turn()


def pause() -> None:
    """Let others have their turn, if this thread is an actor."""
    if (actor := getattr(_HERE, "actor", None)) is not None:
        actor.pause()


@pytest.fixture
def stepwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every operation of the store and of compaction a turn; what they do to folders, two."""

    def turned(module: Any, name: str) -> None:
        call = getattr(module, name)

        def one_turn(*arguments: Any, **named: Any) -> Any:
            pause()
            return call(*arguments, **named)

        monkeypatch.setattr(module, name, one_turn)

    def listed(folder: Place) -> Mapping[str, int]:
        """List a folder as real ones are, not at one instant: what comes or goes meanwhile may be missed.

        The worst order is the one in which merged files would have been seen before they were there.
        """
        pause()
        first = {name: size for name, size in sizes(folder).items() if name.startswith(layout.MERGED)}
        pause()
        return first | {name: size for name, size in sizes(folder).items() if not name.startswith(layout.MERGED)}

    def removed(files: Iterable[Place]) -> None:
        for one in list(files):
            pause()
            one.unlink(missing_ok=True)

    for module, name in [(layout, "read_files"), (layout, "read_file"), (compaction, "read_file")]:
        turned(module, name)
    turned(compaction, "write_atomically")
    monkeypatch.setattr(layout, "sizes", listed)
    monkeypatch.setattr(layout, "together", lambda call, places: [call(one) for one in places])
    monkeypatch.setattr(compaction, "remove", removed)
