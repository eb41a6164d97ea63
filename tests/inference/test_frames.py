import itertools
from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.pipelines.automatic_speech_recognition import rescale_stride

from bench.config import DecodeConfig
from bench.inference.frames import Kept, align_strides, trim_strides, word_spans
from bench.inference.windows import cut
from bench.records import Window

ALIGN = 320
BLANK, DELIMITER, A, B, C = 0, 4, 5, 6, 7
NO_MARKS = np.zeros(8, dtype=bool)


def _classes(text: str) -> np.ndarray:
    """`_` is blank, `|` the delimiter, `a` to `c` are letters."""
    return np.array([{"_": BLANK, "|": DELIMITER, "a": A, "b": B, "c": C}[mark] for mark in text], dtype=np.int32)


cuts = st.builds(
    lambda samples, chunk_s, share: cut(
        samples, 16_000, DecodeConfig(chunk_length_s=chunk_s, stride_length_s=chunk_s * share), ALIGN
    ),
    samples=st.integers(400, 200_000),
    chunk_s=st.floats(0.5, 4),
    share=st.floats(0, 0.48),
)


@given(cuts)
def test_strides_are_trimmed_as_the_pipeline_trims(windows: list[Window]) -> None:
    lengths = [(window.stop - window.start - 80) // ALIGN for window in windows]  # as wav2vec 2.0 emits
    scaled = rescale_stride([(w.stop - w.start, w.left, w.right) for w in windows], 1 / ALIGN)
    for kept, length, (total, left, right) in zip(trim_strides(lengths, windows, ALIGN), lengths, scaled, strict=True):
        assert list(range(length))[kept.first : kept.stop] == list(range(length))[left : total - right]


@given(cuts, st.integers(0, 4), st.integers(2, 40), st.randoms(use_true_random=False))
def test_aligned_joins_keep_every_frame_of_the_recording_once(
    windows: list[Window], short_by: int, rarity: int, random: Random
) -> None:
    """Whatever the windows read, however far apart they agree, and however many last frames the model leaves out."""
    read = [
        np.array(
            [
                BLANK if random.randrange(rarity) == 0 else A + number
                for _ in range(w.start, w.stop - short_by * ALIGN, ALIGN)
            ],
            np.int32,
        )
        for number, w in enumerate(windows)
    ]
    kept = align_strides(read, windows, ALIGN, [BLANK, DELIMITER])
    seen = Counter(
        window.start // ALIGN + frame
        for window, classes, part in zip(windows, read, kept, strict=True)
        for frame in range(len(classes))[part.first : part.stop]
    )
    emitted = {
        w.start // ALIGN + frame for w, classes in zip(windows, read, strict=True) for frame in range(len(classes))
    }
    assert seen == Counter(emitted)
    for before, after in itertools.pairwise(zip(windows, kept, strict=True)):
        if before[0].right:
            joint = after[0].start // ALIGN + after[1].first
            assert after[0].start // ALIGN <= joint <= before[0].stop // ALIGN


def _join(left: str, right: str, overlap: int) -> str:
    """Join two windows, each as long as its text, that share some frames."""
    half = overlap // 2 * ALIGN
    stop = len(left) * ALIGN
    windows = [Window(0, stop, 0, half), Window(stop - 2 * half, stop - 2 * half + len(right) * ALIGN, half, 0)]
    first, second = align_strides([_classes(left), _classes(right)], windows, ALIGN, [BLANK, DELIMITER])
    return left[first.first : first.stop] + "+" + right[second.first : second.stop]


@pytest.mark.parametrize(
    ("left", "right", "joined"),
    [
        # The middle is frame 3; a word lies across it, both read a blank on frame 4 and on none nearer.
        ("aabb_c", "aabb_c", "aabb+_c"),
        # Equally near on either side: the earlier.
        ("ab_b_c", "bc_a_c", "ab+_a_c"),
        # A delimiter is as silent as a blank.
        ("a|bbcc", "b|ccab", "a+|ccab"),
        # They agree on no silence, but on a letter, nearest on frame 2.
        ("abcabc", "bacbca", "ab+cbca"),
        # They agree on nothing: the middle.
        ("aaaaaa", "bbbbbb", "aaa+bbb"),
        # Silence that only one of them hears is none.
        ("aa_aaa", "bbb_bb", "aa_+_bb"),
    ],
)
def test_where_windows_are_joined(left: str, right: str, joined: str) -> None:
    assert _join(left, right, overlap=6) == joined


def test_windows_without_strides_are_concatenated() -> None:
    assert _join("ab", "bc", overlap=0) == "ab+bc"


def test_what_a_window_lacks_before_the_middle_its_neighbour_gives() -> None:
    """The first window has 7 of its 10 frames, and the middle is frame 8; frame 7 is the second one's alone."""
    windows = [Window(0, 10 * ALIGN, 0, 2 * ALIGN), Window(6 * ALIGN, 16 * ALIGN, 2 * ALIGN, 0)]
    kept = align_strides([_classes("aaaaaaa"), _classes("bbbbbbbbbb")], windows, ALIGN, [BLANK])
    assert kept == [Kept(0, 7), Kept(1, 10)]


def test_one_window_is_kept_whole() -> None:
    assert align_strides([_classes("ab_")], [Window(0, 960, 0, 0)], ALIGN, [BLANK]) == [Kept(0, 3)]


def test_words_reach_from_their_first_to_their_last_letter() -> None:
    spans = word_spans(_classes("_|aa_a||__b_|"), BLANK, DELIMITER, NO_MARKS)
    assert spans == [Kept(2, 6), Kept(10, 11)]


def test_marked_subwords_open_words() -> None:
    opens = NO_MARKS.copy()
    opens[A] = True
    assert word_spans(_classes("_baa_abb_c"), BLANK, None, opens) == [Kept(1, 2), Kept(2, 4), Kept(5, 10)]


@pytest.mark.parametrize("silence", ["", "___", "_||_"])
def test_silence_has_no_words(silence: str) -> None:
    assert word_spans(_classes(silence), BLANK, DELIMITER, NO_MARKS) == []
