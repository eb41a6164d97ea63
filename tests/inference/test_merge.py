"""Against transformers' own functions; the texts as a whole are compared in test_pipeline_parity.py."""

from types import SimpleNamespace

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.whisper.tokenization_whisper import _decode_asr, _find_longest_common_sequence

from bench.inference.merge import TimedTokens, TimestampJoiner, join_overlapping

# Few distinct tokens make chance matches likely, which is where the algorithm's corners are.
tokens = st.lists(st.integers(1, 6), max_size=25)

END, NO_TIMESTAMPS = 50, 99
FIRST_TIME = NO_TIMESTAMPS + 1
TIME_STEP_S, SEGMENT_S = 0.02, 30.0


def test_worked_by_hand() -> None:
    # Pushed in by 3, all of [3, 4, 5] meets; the left keeps up to the middle of it, the right goes on from there.
    assert join_overlapping([[1, 2, 3, 4, 5], [3, 4, 5, 6, 7]]) == [1, 2, 3, 4, 5, 6, 7]
    # One common token is no overlap: the sequences are concatenated.
    assert join_overlapping([[1, 2, 3], [3, 4]]) == [1, 2, 3, 3, 4]
    assert join_overlapping([]) == []
    assert join_overlapping([[7, 8]]) == [7, 8]


@given(st.lists(tokens.filter(bool), min_size=1, max_size=6))
@settings(max_examples=500)
def test_joins_as_transformers_does(sequences: list[list[int]]) -> None:
    expected, _ = _find_longest_common_sequence(sequences, [])
    assert join_overlapping(sequences) == expected


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
@settings(max_examples=1000)
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
    assert "".join(_spell(segment) for segment in segments) == expected


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
