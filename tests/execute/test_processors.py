"""Processors that runs hold, among processes that are real."""

import multiprocessing
from collections.abc import Callable
from multiprocessing import connection
from pathlib import Path

import pytest

from bench.execute import processors
from bench.execute.processors import held
from bench.measure.counters import affinity

HERE = len(affinity())

Hold = Callable[[int, Path], tuple[int, ...] | None]


def _hold(count: int, folder: Path, sender: connection.Connection, receiver: connection.Connection) -> None:
    with held(count, folder) as taken:
        sender.send(taken.cpus)
        receiver.recv()


class Elsewhere:
    """Another process that holds processors until it is told to go, or killed."""

    def __init__(self, count: int, folder: Path) -> None:
        context = multiprocessing.get_context("spawn")
        theirs_in, self._out = context.Pipe(duplex=False)
        self._in, theirs_out = context.Pipe(duplex=False)
        self._process = context.Process(target=_hold, args=(count, folder, theirs_out, theirs_in))
        self._process.start()
        self.cpus: tuple[int, ...] | None = self._in.recv()

    def go(self) -> None:
        self._out.send(None)
        self._process.join()

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


def test_what_is_held_is_free_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with held(HERE, tmp_path) as taken:
            assert taken.cpus == affinity()
            assert not taken.company()


def test_nobody_holds_what_another_does(tmp_path: Path) -> None:
    other = Elsewhere(1, tmp_path)
    try:
        assert other.cpus is not None
        with held(HERE - 1, tmp_path) as rest:
            assert rest.cpus is not None
            assert set(rest.cpus) == set(affinity()) - set(other.cpus)
            assert rest.company()
        with held(HERE, tmp_path) as all_of_them:
            assert all_of_them.cpus is None
    finally:
        other.kill()
    # The kernel gave back what a killed process held.
    with held(HERE, tmp_path) as taken:
        assert taken.cpus == affinity()


@pytest.mark.skipif(HERE < 2, reason="takes two processors")
def test_who_came_and_went_meanwhile_was_company(tmp_path: Path) -> None:
    with held(1, tmp_path) as taken:
        assert not taken.company()
        Elsewhere(1, tmp_path).go()
        assert taken.company()


def test_processors_of_a_core_of_their_own_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Two cores of two threads each: 0 with 2, and 1 with 3.
    for cpu, siblings in {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}.items():
        folder = tmp_path / "cpu" / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{siblings}\n")
    monkeypatch.setattr(processors, "_TOPOLOGY", tmp_path / "cpu")
    monkeypatch.setattr(processors, "affinity", lambda: (0, 1, 2, 3))
    with held(1, tmp_path) as first, held(1, tmp_path) as second, held(2, tmp_path) as third:
        assert (first.cpus, second.cpus, third.cpus) == ((0,), (1,), (2, 3))


def test_a_folder_that_another_may_write_to_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr("os.getuid", lambda: 4711)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "asr-sweep-4711").symlink_to(tmp_path / "elsewhere")
    with held(1) as taken:
        assert taken.cpus is None
        assert not taken.company()
    assert not list((tmp_path / "elsewhere").iterdir())
