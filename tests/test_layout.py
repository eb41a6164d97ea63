"""Readers see the rows of each attempt once, whatever is written and merged meanwhile, and wherever that is killed."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench import compaction, layout, storage
from bench.attempts import Attempt
from bench.compaction import compact
from bench.errors import StoreError
from bench.parquet import write_table
from bench.records import Status
from bench.schema import RUN_SCHEMA, SCHEMA_VERSION
from bench.storage import Place, place, remove_all, write_atomically
from tests.interleaving import pause, play, stepwise

__all__ = ["stepwise"]

# Few columns, so that hundreds of interleavings take seconds.
KEYS = pa.schema([RUN_SCHEMA.field(name) for name in ("schema_version", "run_id", "attempt", "status", "wall_s")])


def attempt(number: int, status: Status = Status.ok) -> Attempt:
    return Attempt(f"{number:03x}-0", 1, status)


def write(folder: Place, one: Attempt, rows: int = 1) -> None:
    written = [
        {"schema_version": SCHEMA_VERSION, "run_id": one.run_id, "attempt": one.attempt, "status": one.status.value}
        | {"wall_s": float(number)}
        for number in range(rows)
    ]
    write_table(folder / one.file_name, KEYS, written)


def seen(folder: Place) -> Counter[tuple[str, float]]:
    return Counter((row["run_id"], row["wall_s"]) for row in layout.read(folder, KEYS).to_pylist())


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Merge one small table, without a claim: what follows holds even where two compactors are at it."""

    @contextmanager
    def unclaimed(*_: Any) -> Iterator[None]:
        yield

    monkeypatch.setattr(compaction, "TABLES", {"runs": KEYS})
    monkeypatch.setattr(compaction, "_MOST_MEMBERS", 3)
    monkeypatch.setattr(compaction, "claimed", unclaimed)


def check(before: int, turns: list[int], killed_at: list[int | None]) -> None:
    """Run a writer, two compactors and two readers in an order of turns, and see what the readers saw."""
    study = place(f"memory://{uuid4().hex}/mine")
    runs = study / "runs"
    written = [attempt(number) for number in range(before)]
    for one in written:
        write(runs, one, rows=2)
    rows = {(one.run_id, value): 1 for one in written for value in (0.0, 1.0)}

    def writes() -> None:
        for number in range(before, before + 2):
            pause()
            write(runs, attempt(number), rows=2)
            rows.update({(attempt(number).run_id, value): 1 for value in (0.0, 1.0)})

    def merges() -> None:
        compact(study)
        compact(study)

    def reads() -> None:
        for _ in range(3):
            there = Counter(dict(rows))
            found = seen(runs)
            assert not there - found, f"missed: {there - found}"
            assert set(found.values()) <= {1}, f"seen twice: {found}"
            assert set(found) <= set(rows)

    try:
        play([(writes, None), (merges, killed_at[0]), (merges, killed_at[1]), (reads, None), (reads, None)], turns)
        assert seen(runs) == Counter(rows)
        compact(study)
        assert seen(runs) == Counter(rows)
        copies = [one for names in layout.look(runs).files.values() for one in names if (runs / one.file_name).exists()]
        assert not copies  # what a killed compactor left is removed by the next
    finally:
        remove_all(study)


ORDERS = st.lists(st.integers(0, 4), max_size=120)
KILLED = st.lists(st.none() | st.integers(0, 25), min_size=2, max_size=2)
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@given(before=st.integers(2, 5), turns=ORDERS, killed_at=KILLED)
@settings(max_examples=150, deadline=None, suppress_health_check=QUIET)
def test_every_interleaving_shows_each_row_once(
    small: None, stepwise: None, before: int, turns: list[int], killed_at: list[int | None]
) -> None:
    check(before, turns, killed_at)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@given(before=st.integers(2, 8), turns=st.lists(st.integers(0, 4), max_size=300), killed_at=KILLED)
@settings(max_examples=3_000, deadline=None, suppress_health_check=QUIET)
def test_many_interleavings_show_each_row_once(
    small: None, stepwise: None, before: int, turns: list[int], killed_at: list[int | None]
) -> None:
    check(before, turns, killed_at)


@pytest.mark.parametrize("listing", [0, 1])
def test_a_merge_in_the_middle_of_a_listing_hides_nothing(
    small: None, study: Place, listing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = study / "runs"
    for number in range(3):
        write(runs, attempt(number))
    whole, listed = seen(runs), [0]

    def sizes(folder: Place) -> Mapping[str, int]:
        merged = {name: size for name, size in storage.sizes(folder).items() if name.startswith(layout.MERGED)}
        number, listed[0] = listed[0], listed[0] + 1
        if number == listing:
            compact(study)
        return merged | {
            name: size for name, size in storage.sizes(folder).items() if not name.startswith(layout.MERGED)
        }

    monkeypatch.setattr(layout, "sizes", sizes)
    assert seen(runs) == whole
    assert len(merged_of(study)) == 1


@pytest.fixture
def study() -> Iterator[Place]:
    folder = place(f"memory://{uuid4().hex}/mine")
    yield folder
    remove_all(folder)


def merged_of(study: Place) -> list[str]:
    return [name for name in storage.sizes(study / "runs") if name.startswith(layout.MERGED)]


def test_a_merged_file_names_its_members_and_they_go(small: None, study: Place) -> None:
    runs = study / "runs"
    for number in range(3):
        write(runs, attempt(number, Status.error if number == 1 else Status.ok))
    before = layout.look(runs)
    done = compact(study)
    assert (done.files_before, done.files_after, done.left) == (3, 1, ())
    after = layout.look(runs)
    assert after.attempts == before.attempts
    assert not after.own
    assert list(after.files.values()) == [frozenset(before.attempts)]
    assert list(storage.sizes(runs)) == merged_of(study)


def test_attempts_wanted_are_those_read(small: None, study: Place) -> None:
    runs = study / "runs"
    for number in range(6):
        write(runs, attempt(number), rows=number)
    compact(study)
    write(runs, attempt(6), rows=6)
    wanted = [attempt(5), attempt(0), attempt(6), attempt(2)]
    found = Counter(layout.read(runs, KEYS, wanted)["run_id"].to_pylist())
    assert found == {"005-0": 5, "006-0": 6, "002-0": 2}
    with pytest.raises(StoreError, match=r"009-0\.1\.ok\.parquet cannot be read \(it is missing\); start the study"):
        layout.read(runs, KEYS, [attempt(9)])


def test_a_run_made_again_by_hand_counts_more_than_what_was_merged(small: None, study: Place) -> None:
    runs = study / "runs"
    for number in range(2):
        write(runs, attempt(number))
    compact(study)
    write(runs, attempt(1), rows=3)
    assert seen(runs) == {("000-0", 0.0): 1, ("001-0", 0.0): 1, ("001-0", 1.0): 1, ("001-0", 2.0): 1}
    (told,) = compact(study).left
    assert "001-0.1.ok.parquet differs from the rows of the same name in merged-000001-" in told
    assert seen(runs)["001-0", 2.0] == 1


def test_what_cannot_be_read_keeps_its_file(small: None, study: Place) -> None:
    runs = study / "runs"
    for number in range(4):
        write(runs, attempt(number))
    write_atomically(runs / attempt(1).file_name, b"PAR1 and then nothing")
    (told,) = compact(study).left
    assert str(runs / attempt(1).file_name) in told
    layouts = layout.look(runs)
    assert set(layouts.own) == {attempt(1), attempt(3)}  # one is left of each three
    assert set(layouts.merged) == {attempt(0), attempt(2)}


def test_a_merged_file_that_says_nothing_of_itself_is_named(study: Place) -> None:
    write_table(study / "runs" / f"{layout.MERGED}000001-abcd.parquet", KEYS, [])
    with pytest.raises(StoreError, match=r"merged-000001-abcd\.parquet does not say what it holds; move it out"):
        layout.look(study / "runs")


@pytest.mark.parametrize(("name", "members"), [("000001-abcd", b"\xff"), ("x-1", b"000-0.1.ok.parquet")])
def test_a_merged_file_that_no_study_writes_is_named(study: Place, name: str, members: bytes) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(KEYS.empty_table().replace_schema_metadata({layout.MEMBERS: members}), sink)
    write_atomically(study / "runs" / f"{layout.MERGED}{name}.parquet", sink.getvalue())
    with pytest.raises(StoreError, match=rf"merged-{name}\.parquet does not say what it holds; move it out"):
        layout.look(study / "runs")


def test_one_file_is_not_merged(small: None, study: Place) -> None:
    write(study / "runs", attempt(0))
    done = compact(study)
    assert (done.files_before, done.files_after) == (1, 1)
    assert not merged_of(study)


@pytest.mark.parametrize("times", [1, 3])
def test_merging_again_changes_nothing(small: None, study: Place, times: int) -> None:
    for number in range(7):
        write(study / "runs", attempt(number))
    compact(study)
    before = storage.sizes(study / "runs")
    for _ in range(times):
        compact(study)
    assert storage.sizes(study / "runs") == before


def test_what_a_killed_compactor_left_is_removed(small: None, study: Place) -> None:
    write(study / "runs", attempt(0))
    write_atomically(study / "runs" / ".merging-1234", b"half")
    compact(study)
    assert list(storage.sizes(study / "runs")) == [attempt(0).file_name]
