"""Output that is no misheard speech: loops, text in silence, the wrong language.

Such output can make the word error rate anything, 230 % as easily as 30 %, so it is counted beside it.
"""

import re
import zlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from bench.records import Degeneracy, Samples, Transcript
from bench.score.language import languages_differ, likely_language
from bench.score.normalize import Normalizer

MOST_COMPRESSION = 2.4
"""Compression ratio above which Whisper takes its own output for a failure (Radford et al. 2022, section 4.5)."""

SPAN_BYTES = 600
"""Length of text that a compression ratio is taken over: 30 s of fast English, as much as Whisper sees at once."""

LOOPING_WORDS = 5
"""Words that only repeat from which on an utterance counts as looping; fewer are a stutter. Chosen here."""

LONGEST_PHRASE = 30
"""Words (or signs) of the longest phrase whose repetition is looked for; a Japanese sentence needs more than 10."""

SILENCE_DBFS = -60.0
"""Level at and below which a window holds no speech: 20 log10 of the root mean square, 0 dBFS being a constant 1."""

_LOOP_TIMES = 3  # what is said twice may be an echo at a seam; a loop goes on

# Thai, Lao, Burmese, Khmer, kana, Chinese characters: scripts without blanks between words. Whisper likewise splits
# Chinese, Japanese, Thai, Lao, Burmese and Cantonese sign by sign (``split_to_word_tokens`` in its tokenizer.py).
_WITHOUT_BLANKS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


def judge(reference: str, transcript: Transcript, samples: Samples, normalize: Normalizer) -> Degeneracy:
    """Look for degenerate output in one utterance.

    Args:
        reference: What was said, as the manifest has it.
        transcript: What a model made of it.
        samples: The audio, of shape ``(samples,)``; ``transcript.windows`` lie within it. Read window by window.
        normalize: Applied to both texts before words are compared.
    """
    spoken, heard = split_words(normalize(reference)), split_words(normalize(transcript.text))
    looped = max(0, repeated_words(heard, _LOOP_TIMES) - repeated_words(spoken, 2))
    ratio = compression_ratio(_window_texts(transcript))
    natural = compression_ratio([reference])
    compressed = ratio is not None and ratio > MOST_COMPRESSION and (natural is None or natural <= MOST_COMPRESSION)
    languages = likely_language(transcript.text), likely_language(reference)
    return Degeneracy(
        compression_ratio=ratio,
        looped_words=looped,
        looping=looped >= LOOPING_WORDS or compressed,
        silent_words=_silent_words(transcript, samples, normalize) if spoken else len(heard),
        hypothesis_language=languages[0],
        reference_language=languages[1],
        wrong_language=languages_differ(*languages),
    )


def compression_ratio(texts: Iterable[str]) -> float | None:
    """Return how many times shorter zlib makes the most repetitive span of some texts.

    The ratio is Whisper's: ``len(utf8) / len(zlib.compress(utf8))`` (``compression_ratio`` in its utils.py). It grows
    with the length of a text: a few words stay below 1, five minutes of ordinary speech can exceed 2.4. So texts are
    cut into spans of :data:`SPAN_BYTES`, at which ordinary text of any script stays below 2.4 (English prose reaches
    2.1; Hindi and Thai, of which UTF-8 repeats a byte or two in every sign, 2.3).

    Args:
        texts: The texts of the windows, or any others that are to be looked at one by one.

    Returns:
        The greatest ratio of any span; null where there is no text.
    """
    spans = [
        encoded[start : start + SPAN_BYTES]
        for encoded in (text.encode("utf-8", "replace") for text in texts)
        for start in range(0, len(encoded), SPAN_BYTES)
    ]
    return max((len(span) / len(zlib.compress(span)) for span in spans), default=None)


def split_words(text: str) -> list[str]:
    """Split a text at blanks, and into single signs where its script has none between words.

    What has neither letter nor digit is no word: a model that writes "..." where nothing is said has it right.
    """
    parts = _WITHOUT_BLANKS.sub(r" \g<0> ", text).split()
    return [part for part in parts if any(map(str.isalnum, part))]


def repeated_words(words: Sequence[str], times: int) -> int:
    """Count the words that only repeat a phrase said at least ``times`` times in a row.

    A word counts if it lies in such a run, of a phrase of up to :data:`LONGEST_PHRASE` words, after the phrase's first
    saying; what is left of a last saying that was cut short counts too. A word counts once, however many phrases it
    repeats: "no no no no" has three that only repeat.

    Args:
        words: The words in order.
        times: Sayings in a row that make a run, from 2 up.
    """
    number_of: dict[str, int] = {}
    numbers = np.array([number_of.setdefault(word, len(number_of)) for word in words], dtype=np.int64)
    repeats = np.zeros(len(words), dtype=bool)
    for length in range(1, min(LONGEST_PHRASE, len(words) // times) + 1):
        # Where a phrase of this length is said again and again, every word equals the one a phrase before.
        for start, stop in _runs(numbers[length:] == numbers[:-length]):
            if stop - start >= (times - 1) * length:
                repeats[start + length : stop + length] = True
    return int(repeats.sum())


def is_silent(samples: Samples) -> bool:
    """Tell whether audio of shape ``(samples,)`` is, on the whole, no louder than :data:`SILENCE_DBFS`."""
    power = float(np.dot(samples, samples)) / max(len(samples), 1)
    return power <= 10 ** (SILENCE_DBFS / 10)


def _runs(marks: "np.ndarray[tuple[int], np.dtype[np.bool]]") -> Iterator[tuple[int, int]]:
    """Yield start and stop of every run of true marks."""
    edges = np.flatnonzero(np.diff(marks, prepend=False, append=False)).tolist()
    yield from zip(edges[::2], edges[1::2], strict=True)


def _by_window(transcript: Transcript) -> dict[int, list[str]]:
    """Group the words by the window each was read in."""
    texts: dict[int, list[str]] = {}
    for word in transcript.words:
        texts.setdefault(word.window, []).append(word.text)
    return texts


def _window_texts(transcript: Transcript) -> list[str]:
    """Write out what each window said; the whole text where it has no words."""
    if not transcript.words:
        return [transcript.text]
    blank = " " if transcript.text == " ".join(word.text for word in transcript.words) else ""
    return [blank.join(words) for words in _by_window(transcript).values()]


def _silent_words(transcript: Transcript, samples: Samples, normalize: Normalizer) -> int:
    """Count the words that were read in silent windows."""
    windows = [(transcript.windows[number], words) for number, words in _by_window(transcript).items()]
    return sum(
        len(split_words(normalize(word)))
        for window, words in windows
        if is_silent(samples[window.start : window.stop])
        for word in words
    )
