"""Against transformers' own functions; the texts as a whole are compared in test_pipeline_parity.py."""

from collections.abc import Iterable, Sequence
from types import SimpleNamespace

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.whisper.tokenization_whisper import _decode_asr, _find_longest_common_sequence

from bench.inference.merge import Part, TimedTokens, TimestampJoiner, join_parts

# Few distinct tokens make chance matches likely, which is where the algorithm's corners are.
tokens = st.lists(st.integers(1, 6), max_size=25)

END, NO_TIMESTAMPS = 50, 99
FIRST_TIME = NO_TIMESTAMPS + 1
TIME_STEP_S, SEGMENT_S = 0.02, 30.0


def _parts(sequences: Sequence[Sequence[int]]) -> list[Part]:
    return [Part(number, sequence) for number, sequence in enumerate(sequences)]


def _join(sequences: Sequence[Sequence[int]]) -> list[int]:
    return _tokens(join_parts(_parts(sequences)))


def _tokens(parts: Iterable[Part]) -> list[int]:
    return [token for part in parts for token in part.tokens]


def _came_from(parts: Sequence[Part], said: Sequence[Sequence[int]]) -> bool:
    """Whether each part is a stretch of what its window said, after those before it."""
    begun = [0] * len(said)
    for part in parts:
        spoken, stretch = list(said[part.window]), list(part.tokens)
        places = range(begun[part.window], len(spoken) - len(stretch) + 1)
        at = next((at for at in places if spoken[at : at + len(stretch)] == stretch), None)
        if at is None:
            return False
        begun[part.window] = at + len(stretch)
    return True


def test_worked_by_hand() -> None:
    # Pushed in by 3, all of [3, 4, 5] meets; the left keeps up to the middle of it, the right goes on from there.
    assert _join([[1, 2, 3, 4, 5], [3, 4, 5, 6, 7]]) == [1, 2, 3, 4, 5, 6, 7]
    assert join_parts(_parts([[1, 2, 3, 4, 5], [3, 4, 5, 6, 7]])) == [Part(0, [1, 2, 3]), Part(1, [4, 5, 6, 7])]
    # One common token is no overlap: the sequences are concatenated.
    assert _join([[1, 2, 3], [3, 4]]) == [1, 2, 3, 3, 4]
    assert join_parts([]) == []
    assert join_parts([Part(4, [7, 8])]) == [Part(4, [7, 8])]


@given(st.lists(tokens.filter(bool), min_size=1, max_size=6))
@settings(max_examples=500, deadline=None)
def test_joins_as_transformers_does(sequences: list[list[int]]) -> None:
    expected, _ = _find_longest_common_sequence(sequences, [])
    assert _join(sequences) == expected


@given(st.lists(tokens, max_size=6))
@settings(max_examples=500, deadline=None)
def test_every_window_keeps_one_stretch_of_what_it_said(sequences: list[list[int]]) -> None:
    joined = join_parts(_parts(sequences))
    assert [part.window for part in joined] == list(range(len(sequences)))
    assert _came_from(joined, sequences)


@st.composite
def timed_windows(draw: st.DrawFn) -> list[TimedTokens]:
    """Windows whose tokens are words and times, in any order a confused model might emit them."""
    count = draw(st.integers(1, 5))
    length_s = draw(st.sampled_from([5.0, 10.0, 30.0]))
    stride_s = draw(st.sampled_from([0.0, 1.0, 2.0]))
    ticks = st.integers(0, round(length_s / TIME_STEP_S)).map(lambda tick: FIRST_TIME + tick)
    emitted = st.lists(st.one_of(st.integers(1, 6), ticks), max_size=20)
    return [
        TimedTokens(
            draw(emitted),
            length_s,
            left_s=0.0 if index == 0 else stride_s,
            right_s=0.0 if index == count - 1 else stride_s,
        )
        for index in range(count)
    ]


@given(timed_windows())
@settings(max_examples=1000, deadline=None)
def test_joins_timed_windows_as_transformers_does(windows: list[TimedTokens]) -> None:
    outputs = [
        {
            "tokens": torch.tensor([list(window.tokens)], dtype=torch.int64),
            "stride": (window.length_s, window.left_s, window.right_s),
        }
        for window in windows
    ]
    expected, _ = _decode_asr(
        _tokenizer(), outputs, return_timestamps=True, return_language=None, time_precision=TIME_STEP_S
    )
    segments = TimestampJoiner(FIRST_TIME, TIME_STEP_S, SEGMENT_S).join(windows)
    assert "".join(_spell(_tokens(segment)) for segment in segments) == expected


@given(timed_windows())
@settings(max_examples=500, deadline=None)
def test_timed_windows_keep_stretches_of_what_they_said(windows: list[TimedTokens]) -> None:
    segments = TimestampJoiner(FIRST_TIME, TIME_STEP_S, SEGMENT_S).join(windows)
    parts = [part for segment in segments for part in segment]
    numbers = [part.window for part in parts]
    assert numbers == sorted(numbers)
    assert _came_from(parts, [[token for token in window.tokens if token < FIRST_TIME] for window in windows])


def _spell(ids: list[int]) -> str:
    return "".join(f" {token}" for token in ids)


def _tokenizer() -> SimpleNamespace:
    """As much of a tokenizer as the library's function asks for."""
    ids = {"<|notimestamps|>": NO_TIMESTAMPS, "<|startofprev|>": END, "<|startoftranscript|>": END}
    return SimpleNamespace(
        convert_tokens_to_ids=ids.__getitem__,
        all_special_ids=[END],
        decode=_spell,
        _strip_prompt=lambda token_ids, *_: token_ids,
    )
