"""The command line, called as a user calls it and many thousand times over: it answers in a line, and does not hang."""

import signal
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from bench.__main__ import main

_CPU_S = 30  # of one call; most take a fraction of a second

Answer = tuple[int, str]
"""An exit status, and what was said on standard error."""


@contextmanager
def in_time() -> Iterator[None]:
    """Fail where the body takes too long, by its processor time: other work on the machine counts for nothing."""

    def hung(number: int, frame: types.FrameType | None) -> None:
        pytest.fail(f"it went on for more than {_CPU_S} s of processor time")

    before = signal.signal(signal.SIGVTALRM, hung)
    signal.setitimer(signal.ITIMER_VIRTUAL, _CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Make `answer(*arguments)`: what the command line says; anything but a status and a message fails the test."""

    def ask(*arguments: str) -> Answer:
        capsys.readouterr()
        with in_time():
            try:
                code = main(arguments)
            except SystemExit as exit_:  # of --help and its like
                code = exit_.code if isinstance(exit_.code, int) else 1
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err, arguments
        if code == 2:
            assert said.err.startswith("asr-sweep: "), arguments
            assert len(said.err.splitlines()) == 1, arguments
            assert len(said.err) > len("asr-sweep: x"), arguments
        return code, said.err

    return ask
