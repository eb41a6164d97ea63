"""The words of a transcript as they are spoken: each with the blank before it, if any, and with a time in any case."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.inference.pieces import spread
from bench.records import Transcript, Window, Word


@dataclass(frozen=True)
class Spoken:
    """A word with its place in text and time.

    Attributes:
        text: As the model wrote it, without blanks around it.
        start_s: Start within the recording, in seconds.
        end_s: End, likewise.
        spaced: Whether a blank stands before it.
    """

    text: str
    start_s: float
    end_s: float
    spaced: bool = True


def tells_times(transcript: Transcript) -> bool:
    """Tell whether the model told the times of all words."""
    return all(word.start_s is not None and word.end_s is not None for word in transcript.words)


def timed(transcript: Transcript, rate_hz: int) -> tuple[Word, ...]:
    """Give every word a time: one without any gets its share of what its window keeps, by its number of characters.

    Args:
        transcript: What was said.
        rate_hz: Sampling rate its windows are counted in.
    """
    if tells_times(transcript):
        return transcript.words
    estimates = {
        number: iter(
            spread([word.text for word in transcript.words if word.window == number], number, *_kept_s(window, rate_hz))
        )
        for number, window in enumerate(transcript.windows)
    }
    words = []
    for word in transcript.words:
        estimate = next(estimates[word.window])
        known = word.start_s is not None and word.end_s is not None
        words.append(word if known else replace(word, start_s=estimate.start_s, end_s=estimate.end_s))
    return tuple(words)


def spoken(transcript: Transcript, rate_hz: int) -> list[Spoken]:
    """Place every word of a transcript; those without any character are left out.

    Args:
        transcript: What was said.
        rate_hz: Sampling rate its windows are counted in.
    """
    words = [word for word in timed(transcript, rate_hz) if word.text.strip()]
    blanks = _blanks(transcript.text, [word.text for word in words])
    placed = []
    for word, spaced in zip(words, blanks, strict=True):
        assert word.start_s is not None
        assert word.end_s is not None
        placed.append(Spoken(" ".join(word.text.split()), word.start_s, word.end_s, spaced))
    return placed


def _kept_s(window: Window, rate_hz: int) -> tuple[float, float]:
    """Return what is a window's own, without its strides, in seconds."""
    return (window.start + window.left) / rate_hz, (window.stop - window.right) / rate_hz


def _blanks(text: str, words: Sequence[str]) -> list[bool]:
    """Tell for each word whether a blank stands before it in the text.

    Languages written without blanks have none, and one text may hold two languages. Where words do not add up to the
    text (halves of a character that were decoded apart), all or none have one.
    """
    blanks, read = [], 0
    for word in words:
        begin = read + len(text[read:]) - len(text[read:].lstrip())
        if not text.startswith(word, begin):
            return [any(map(str.isspace, text.strip()))] * len(words)
        blanks.append(begin > read)
        read = begin + len(word)
    return blanks
