"""Texts and windows that chance makes up: aligned and counted as another library does, and joined."""

import jiwer
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bench.config import NormalizerName
from bench.inference.aligned import join_aligned
from bench.inference.pieces import Piece
from bench.records import Window
from bench.score.alignment import align, counts
from bench.score.normalize import normalizer
from bench.score.wer import count_words

pytestmark = pytest.mark.faults

_RATE_HZ = 16_000
_NORMALIZERS = {name: normalizer(name) for name in NormalizerName}
_TEXTS = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(["the", "a", "1,000", "$5", "don't", "İ", "ﬁ", "\u202e", "\u200b", "🎙", "é", "e\u0301"]))
    .map(" ".join),
)  # fmt: skip


@pytest.mark.parametrize("examples", [200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_any_two_texts_are_counted_as_jiwer_does(examples: int) -> None:
    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(_TEXTS, _TEXTS, st.sampled_from(sorted(NormalizerName)))
    @example("\x1c", "\x1f a", NormalizerName.none)  # blanks to Python that are no blanks to others
    def check(reference: str, hypothesis: str, name: NormalizerName) -> None:
        said, heard = (_NORMALIZERS[name](text).split() for text in (reference, hypothesis))
        found = count_words(" ".join(said), " ".join(heard))
        assert counts(align(said, heard)) == found
        assert found.hits + found.substitutions + found.deletions == len(said)
        assert found.hits + found.substitutions + found.insertions == len(heard)
        if said:
            numbers = {word: chr(0x4E00 + at) for at, word in enumerate(dict.fromkeys([*said, *heard]))}
            plain_said, plain_heard = (" ".join(numbers[word] for word in words) for words in (said, heard))
            plain = jiwer.process_words(plain_said, plain_heard)
            errors = found.substitutions + found.deletions + found.insertions
            assert errors == plain.substitutions + plain.deletions + plain.insertions

    check()


@st.composite
def _readings(draw: st.DrawFn) -> tuple[list[list[Piece]], list[Window]]:
    """Windows that overlap, touch or leave something out, and words whose times may be anything within them."""
    windows, readings = [], []
    start = 0
    for number in range(draw(st.integers(1, 5))):
        length = draw(st.integers(1, 30 * _RATE_HZ))
        left = draw(st.integers(0, length // 2)) if number else 0
        right = draw(st.integers(0, (length - 1) // 2))
        windows.append(Window(start, start + length, left, right))
        spoken = draw(st.lists(st.tuples(st.text(max_size=5), st.floats(0, 1), st.floats(0, 1)), max_size=8))
        seconds = length / _RATE_HZ
        times = sorted(
            (start / _RATE_HZ + min(a, b) * seconds, start / _RATE_HZ + max(a, b) * seconds, text)
            for text, a, b in spoken
        )
        readings.append([Piece(f" {text}", number, begin, end) for begin, end, text in times])
        start += draw(st.integers(1, length + _RATE_HZ))
    return readings, windows


@pytest.mark.parametrize("examples", [200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_any_windows_are_joined_with_words_that_were_read(examples: int) -> None:
    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(_readings())
    def check(case: tuple[list[list[Piece]], list[Window]]) -> None:
        readings, windows = case
        joined = join_aligned(readings, windows, _RATE_HZ)
        read = [id(piece) for reading in readings for piece in reading]
        # Each word at most once, and none that no window read.
        assert len({id(piece) for piece in joined}) == len(joined)
        assert {id(piece) for piece in joined} <= set(read)
        if len(windows) == 1:
            assert joined == readings[0]

    check()
