from collections import Counter
from collections.abc import Collection
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.config import Choice
from bench.data.choice import choose
from bench.errors import DataError
from bench.records import Utterance


def corpus(*speakers: str | None, broken: Collection[int] = ()) -> list[Utterance]:
    return [
        Utterance(f"{number}.wav", Path("x"), "text", speaker, error="broken" if number in broken else None)
        for number, speaker in enumerate(speakers)
    ]


def names(utterances: list[Utterance]) -> list[str]:
    return [item.utterance_id for item in utterances]


def test_without_a_limit_everything_is_used() -> None:
    everything = corpus("a", None, "b", broken={1})
    for choice in Choice:
        assert choose(everything, None, choice, 0) == everything


def test_the_first_are_the_first_that_can_be_used() -> None:
    assert names(choose(corpus(*"abcd", broken={0, 2}), 2, Choice.first, 0)) == ["1.wav", "3.wav"]


def test_a_random_choice_is_the_same_everywhere() -> None:
    """Written down once, on one machine: another result on yours would make published samples useless."""
    everything = corpus(*["a"] * 1_000)
    assert names(choose(everything, 5, Choice.random, 0)) == ["24.wav", "188.wav", "194.wav", "275.wav", "645.wav"]
    assert names(choose(everything, 3, Choice.random, 1)) == ["476.wav", "551.wav", "613.wav"]


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=60), st.integers(1, 70), st.integers(0, 9))
def test_speakers_are_treated_alike(speakers: list[str], limit: int, seed: int) -> None:
    found = choose(corpus(*speakers), limit, Choice.speakers, seed)
    assert len(found) == min(limit, len(speakers))
    assert names(found) == sorted(names(found), key=lambda name: int(name[:-4]))
    had, have = Counter(speakers), Counter(str(item.speaker) for item in found)
    for one in had:
        for other in had:
            # Whoever has two fewer has no more to give.
            assert have[one] >= have[other] - 1 or have[one] == had[one]


@given(st.integers(1, 50), st.integers(1, 20), st.integers(0, 9))
def test_data_that_is_added_leaves_most_of_a_choice(limit: int, added: int, seed: int) -> None:
    before = set(names(choose(corpus(*["a"] * 60), limit, Choice.random, seed)))
    after = set(names(choose(corpus(*["a"] * (60 + added)), limit, Choice.random, seed)))
    assert len(before - after) <= added
    assert {name for name in after - before if int(name[:-4]) < 60} == set()


def test_speakers_must_be_known() -> None:
    with pytest.raises(DataError, match=r"1 have none, the first 1\.wav"):
        choose(corpus("a", None, "b"), 1, Choice.speakers, 0)
