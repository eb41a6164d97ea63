"""Where neighbouring windows are joined, and how far from there an instant lies."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import replace

from bench.records import Window, Word


def seams_s(windows: Sequence[Window], rate_hz: int) -> list[float]:
    """Instants at which windows are joined: where a window's own part ends and its right stride begins.

    Args:
        windows: All windows of one recording, in order.
        rate_hz: Sampling rate of the recording.

    Returns:
        Seconds from the start of the recording, rising; one fewer than there are windows.
    """
    return [(window.stop - window.right) / rate_hz for window in windows[:-1]]


def nearest(instant_s: float, seams: Sequence[float]) -> float | None:
    """Distance to the nearest seam in seconds; null where there is none.

    Args:
        instant_s: Seconds from the start of the recording.
        seams: As :func:`seams_s` gives them, rising.
    """
    after = bisect_left(seams, instant_s)
    return min((abs(seam - instant_s) for seam in seams[max(0, after - 1) : after + 1]), default=None)


def placed(words: Iterable[Word], windows: Sequence[Window], rate_hz: int) -> tuple[Word, ...]:
    """Give every word whose times are known its distance to the nearest seam."""
    seams = seams_s(windows, rate_hz)
    return tuple(
        word
        if word.start_s is None or word.end_s is None
        else replace(word, seam_s=nearest((word.start_s + word.end_s) / 2, seams))
        for word in words
    )
