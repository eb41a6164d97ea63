"""Sentences spoken by espeak-ng: speech of any language, length and text, robotic and without a licence to ask for."""

import random
import unicodedata
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.assets import fingerprint
from bench.assets.cache import cache_root, publish
from bench.assets.phrases import phrase
from bench.assets.voices import REQUIREMENT, synthesize
from bench.config import SyntheticConfig
from bench.data.sources.entries import Entry
from bench.errors import DataError

_RECIPE = "2"  # to be raised with whatever changes the files


@dataclass(frozen=True)
class Recording:
    """What is to be spoken, and how.

    Attributes:
        place: Where its sentences come from, for messages.
        sentences: They themselves, in their order.
        voice: espeak-ng's voice.
        rate_wpm: Speed in words a minute.
    """

    place: str
    sentences: tuple[str, ...]
    voice: str
    rate_wpm: int

    @property
    def text(self) -> str:
        """The transcript."""
        return " ".join(self.sentences)

    @property
    def script(self) -> str:
        """What espeak-ng gets: it pauses at a full stop if a line ends there, or else a capital letter follows."""
        *others, last = self.sentences
        return "\n".join([*(item if _ends_in_a_mark(item) else f"{item}." for item in others), last])


def recordings_of(path: Path | None, config: SyntheticConfig) -> list[Recording]:
    """Plan the recordings of a file's sentences, one a line, or of English ones that are made up.

    The voices take turns, and each recording's speed is drawn by its number, so that further sentences leave those
    before as they are.

    Args:
        path: The file; null makes up ``config.sentences`` of them.
        config: How they are spoken.

    Raises:
        DataError: There is no such file, it is not UTF-8, or holds no sentence.
    """
    if path is None:
        place, first = "made-up", config.first
        sentences = [phrase(number) for number in range(first, first + config.sentences)]
    else:
        place, first = str(path), 1
        sentences = _sentences_of(path)
    return [
        Recording(
            place=f"{place} sentence {first + start}",
            sentences=tuple(sentences[start : start + config.per_recording]),
            voice=config.voices[number % len(config.voices)],
            rate_wpm=_rate_wpm(number, config),
        )
        for number, start in enumerate(range(0, len(sentences), config.per_recording))
    ]


def ensure_spoken(recordings: Sequence[Recording]) -> Path:
    """Folder with the recordings as WAV files, made at the first call.

    Raises:
        AssetError: espeak-ng is not installed, knows no such voice or rate, or the cache cannot be written.
    """
    parts = [part for item in recordings for part in (item.voice, str(item.rate_wpm), item.script)]

    def build(folder: Path) -> None:
        for number, item in enumerate(recordings):
            samples, rate_hz = synthesize(item.script, item.voice, item.rate_wpm)
            with wave.open(str(folder / _file(number)), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(rate_hz)
                file.writeframes(samples.astype("<i2").tobytes())

    name = fingerprint.of_parts([_RECIPE, REQUIREMENT, *parts])
    return publish(cache_root() / "recordings" / f"synthetic-{name}", build)


def entries_of(recordings: Sequence[Recording]) -> Iterator[Entry]:
    """Name the files of :func:`ensure_spoken`, with the voices as speakers."""
    for number, item in enumerate(recordings):
        yield Entry(item.place, _file(number), item.text, item.voice)


def _sentences_of(path: Path) -> list[str]:
    """Read sentences, one a line; empty lines are none."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise DataError(f"no sentences at {path}; give data.path=FILE.txt with one a line") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); give a text file in UTF-8, one sentence a line") from None
    sentences = [" ".join(line.split()) for line in lines if line.strip()]
    if not sentences:
        raise DataError(f"{path} holds no sentence; give one a line")
    return sentences


def _rate_wpm(number: int, config: SyntheticConfig) -> int:
    draw = random.Random(f"speed {number}").random()  # noqa: S311 - no secret
    return round(config.rate_wpm * (1 + config.rate_spread * (2 * draw - 1)))


def _ends_in_a_mark(sentence: str) -> bool:
    return unicodedata.category(sentence[-1]).startswith("P")


def _file(number: int) -> str:
    return f"{number + 1:06}.wav"
