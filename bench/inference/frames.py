"""Joining the frames of overlapping windows of a CTC model, and finding the words in them.

A CTC model emits one class a frame, most of them blank; a text is what remains when repeats are collapsed and blanks
dropped (Graves et al. 2006, "Connectionist Temporal Classification", section 3.1). Windows are therefore joined frame
by frame, before anything is collapsed: a letter that a seam cuts in two then stays one letter.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.records import Window

Classes = NDArray[np.int32]
"""The class of each frame of a window, shape ``(frames,)``."""


@dataclass(frozen=True)
class Kept:
    """The frames ``[first, stop)`` that a window contributes."""

    first: int
    stop: int


def trim_strides(lengths: Sequence[int], windows: Sequence[Window], align: int) -> list[Kept]:
    """Cut every window at the borders of its strides, as transformers' pipeline does.

    Source: ``rescale_stride`` and ``postprocess`` in ``pipelines/automatic_speech_recognition.py``. A model may emit a
    frame fewer than a window holds, so the right stride is counted from where the window's frames would end.

    Args:
        lengths: Frames that the model emitted for each window.
        windows: The windows; strides are multiples of ``align``.
        align: Samples a frame covers.
    """
    return [
        Kept(
            window.left // align,
            min(length, (window.stop - window.start) // align - window.right // align) if window.right else length,
        )
        for length, window in zip(lengths, windows, strict=True)
    ]


def align_strides(
    emitted: Sequence[Classes], windows: Sequence[Window], align: int, silent: Sequence[int]
) -> list[Kept]:
    """Join every window to the next where both read the same, so that a seam cuts no word in two.

    Neighbours share the right stride of the one and the left stride of the other. They are joined at the shared frame
    nearest the middle on which both emit the same silent class; without any, nearest where both emit the same class at
    all; without that, in the middle, where :func:`trim_strides` joins them. Of two that are equally near, the earlier
    is taken. Frames that only one window has are all kept, once.

    Args:
        emitted: The classes of each window's frames.
        windows: The windows; the starts of overlapping ones, and their strides, are multiples of ``align``.
        align: Samples a frame covers.
        silent: The classes between letters and between words: blank, and the word delimiter where there is one.
    """
    kept = []
    first = 0
    for index, window in enumerate(windows):
        here = emitted[index]
        if not window.right or index + 1 == len(windows):
            kept.append(Kept(first, len(here)))
            first = 0
            continue
        after = emitted[index + 1]
        offset = (windows[index + 1].start - window.start) // align
        middle = (window.stop - window.right - window.start) // align
        lowest = max(first, offset)
        shared = here[lowest : offset + len(after)]
        agreed = shared == after[lowest - offset : lowest - offset + len(shared)]
        quiet = agreed & np.isin(shared, silent)
        candidates = lowest + np.flatnonzero(quiet if quiet.any() else agreed)
        if len(candidates):
            joint = int(candidates[np.argmin(np.abs(candidates - middle))])
        else:
            # Beyond the middle may lie an earlier seam, where strides are long, and before it the last frame.
            joint = max(min(middle, len(here)), lowest)
        kept.append(Kept(first, min(joint, len(here))))
        first = joint - offset
    return kept


def word_spans(classes: Classes, blank: int, delimiter: int | None, opens_word: NDArray[np.bool_]) -> list[Kept]:
    """Find the frames of each word.

    Args:
        classes: The joined frames.
        blank: The class that stands for nothing.
        delimiter: The class between words; null where words are told by their first token instead.
        opens_word: For each class, whether it begins a word; used only without a delimiter.

    Returns:
        For each word, in order, from the first frame of its first token to the last frame of its last.
    """
    if not len(classes):
        return []
    starts = np.flatnonzero(np.diff(classes, prepend=-1))
    stops = np.append(starts[1:], len(classes))
    tokens = classes[starts]
    spoken = tokens != blank
    starts, stops, tokens = starts[spoken], stops[spoken], tokens[spoken]
    if delimiter is None:
        word = np.cumsum(opens_word[tokens])
    else:
        word = np.cumsum(tokens == delimiter)
        letters = tokens != delimiter
        starts, stops, word = starts[letters], stops[letters], word[letters]
    if not len(word):
        return []
    opening = np.flatnonzero(np.diff(word, prepend=-1))
    closing = np.append(opening[1:], len(word)) - 1
    return [Kept(int(starts[a]), int(stops[b])) for a, b in zip(opening, closing, strict=True)]
