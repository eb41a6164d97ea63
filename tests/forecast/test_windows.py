"""Windows counted without running anything, and the part of the data that a probe takes."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bench.config import DecodeConfig, Strategy
from bench.forecast.windows import batch_windows, take, window_lengths_s, work_of
from bench.records import Utterance


def _utterances(count: int) -> list[Utterance]:
    return [Utterance(f"u{number}", Path(f"{number}.wav"), "word") for number in range(count)]


def _lengths(taken: tuple[Utterance, ...], lengths_s: list[float]) -> list[float]:
    return [each.duration_s or lengths_s[int(each.utterance_id[1:])] for each in taken]


def test_windows_hold_their_strides() -> None:
    # Steps of 20 s: 0 to 30, 20 to 50, and 40 to the end at 65.
    windows = window_lengths_s([65, 3], DecodeConfig(chunk_length_s=30, stride_length_s=5))
    assert windows == [30, 30, 25, 3]
    assert (work_of(windows).windows, work_of(windows).windowed_s) == (4, 88)
    assert work_of(windows).mean_s == 22


def test_what_cannot_be_foreseen_is_counted_as_if_cut_without_strides() -> None:
    decode = DecodeConfig(strategy=Strategy.vad, chunk_length_s=30, stride_length_s=0)
    assert window_lengths_s([65], decode) == [30, 30, 5]


def test_a_batch_of_unknown_size_has_some_windows() -> None:
    assert batch_windows(DecodeConfig(batch_size=3)) == 3
    assert batch_windows(DecodeConfig(batch_size="auto")) > 1


def test_of_a_long_recording_only_as_much_is_taken_as_fills_the_windows() -> None:
    decode = DecodeConfig(chunk_length_s=30, stride_length_s=5)
    (taken,) = take(_utterances(1), [3600], decode, 4, seed=0)
    assert taken.duration_s == 30 + 3 * 20
    assert window_lengths_s([taken.duration_s], decode) == [30] * 4


def test_a_span_keeps_its_start() -> None:
    utterance = Utterance("u0", Path("0.wav"), "word", start_s=100, duration_s=600)
    (taken,) = take([utterance], [600], DecodeConfig(chunk_length_s=10, stride_length_s=0), 2, seed=0)
    assert (taken.start_s, taken.duration_s) == (100, 20)


def test_the_choice_is_that_of_the_seed_and_not_the_order_of_the_manifest() -> None:
    decode = DecodeConfig(chunk_length_s=10, stride_length_s=0)
    utterances, lengths = _utterances(50), [10.0] * 50
    first = [item.utterance_id for item in take(utterances, lengths, decode, 8, seed=1)]
    assert first == [item.utterance_id for item in take(utterances, lengths, decode, 8, seed=1)]
    assert first != [item.utterance_id for item in take(utterances, lengths, decode, 8, seed=2)]
    assert first != [item.utterance_id for item in utterances[:8]]


def test_the_long_form_walk_takes_the_beginning_of_so_many_recordings() -> None:
    decode = DecodeConfig(strategy=Strategy.sequential, chunk_length_s=30, stride_length_s=0)
    taken = take(_utterances(5), [3600] * 5, decode, 3, seed=0)
    assert [item.duration_s for item in taken] == [60] * 3


@given(
    lengths=st.lists(st.integers(1, 900), min_size=1, max_size=20),
    chunk=st.integers(2, 30),
    share=st.integers(0, 4),
    wanted=st.integers(1, 64),
)
def test_as_many_windows_are_taken_as_wanted_or_there_are(
    lengths: list[int], chunk: int, share: int, wanted: int
) -> None:
    lengths_s = [length / 10 for length in lengths]
    decode = DecodeConfig(chunk_length_s=float(chunk), stride_length_s=chunk * share / 10)
    taken = take(_utterances(len(lengths)), lengths_s, decode, wanted, seed=0)
    found = len(window_lengths_s(_lengths(taken, lengths_s), decode))
    assert found == min(wanted, len(window_lengths_s(lengths_s, decode)))
