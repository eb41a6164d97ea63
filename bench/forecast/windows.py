"""The windows that settings make of recordings, counted without running anything."""

import dataclasses
import random
from collections.abc import Sequence

from bench.config import DecodeConfig, Strategy
from bench.forecast.model import Work
from bench.inference.windows import cut
from bench.records import Utterance

AUTO_WINDOWS = 16
"""Windows that stand for a batch whose size a run finds by itself."""

_RATE_HZ = 16_000  # only rounds the borders of windows: engines cut at the rate of their model
_SEQUENTIAL_WINDOWS = 2


def window_lengths_s(lengths_s: Sequence[float], decode: DecodeConfig) -> list[float]:
    """List the seconds of all windows, longest first, as batches take them.

    Where silences or the model decide, the windows are not known: they are counted as if they were cut one after the
    other without strides.
    """
    if decode.strategy is not Strategy.chunked:
        decode = dataclasses.replace(decode, strategy=Strategy.chunked, stride_length_s=0.0)
    windows = [
        (window.stop - window.start) / _RATE_HZ
        for seconds in lengths_s
        for window in cut(max(1, round(seconds * _RATE_HZ)), _RATE_HZ, decode)
    ]
    return sorted(windows, reverse=True)


def work_of(windows: Sequence[float]) -> Work:
    """Sum up windows of so many seconds each."""
    return Work(len(windows), sum(windows))


def batch_windows(decode: DecodeConfig) -> int:
    """Windows of a full batch."""
    return AUTO_WINDOWS if isinstance(decode.batch_size, str) else decode.batch_size


def take(
    utterances: Sequence[Utterance], lengths_s: Sequence[float], decode: DecodeConfig, windows: int, seed: int
) -> tuple[Utterance, ...]:
    """Take so much of the data that so many windows come of it, or all of it where it does not hold as many.

    Utterances are taken by chance, so that a manifest sorted by length or speaker does no harm; of the last one only as
    much as is wanted. For the long-form walk, where whole recordings go into a batch, it is so many recordings, and the
    beginning of each.

    Args:
        utterances: The data.
        lengths_s: Seconds of each utterance.
        decode: How they are cut.
        windows: Windows wanted.
        seed: Seeds the choice.
    """
    order = list(range(len(utterances)))
    random.Random(seed).shuffle(order)  # noqa: S311 - no secret
    if decode.strategy is Strategy.sequential:
        most_s = _SEQUENTIAL_WINDOWS * decode.chunk_length_s
        return tuple(_beginning(utterances[at], lengths_s[at], most_s) for at in order[:windows])
    stride_s = decode.stride_length_s if decode.strategy is Strategy.chunked else 0.0
    taken: list[Utterance] = []
    for at in order:
        if windows < 1:
            break
        # The last window ends where the audio does, so this length holds exactly as many windows as are wanted.
        most_s = decode.chunk_length_s + (windows - 1) * (decode.chunk_length_s - 2 * stride_s)
        taken.append(_beginning(utterances[at], lengths_s[at], most_s))
        windows -= len(window_lengths_s([min(lengths_s[at], most_s)], decode))
    return tuple(taken)


def _beginning(utterance: Utterance, length_s: float, most_s: float) -> Utterance:
    return utterance if length_s <= most_s else dataclasses.replace(utterance, duration_s=most_s)
