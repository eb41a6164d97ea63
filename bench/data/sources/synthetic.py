"""Sentences spoken by espeak-ng: speech of any language, length and text, robotic and without a licence to ask for."""

import wave
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.assets import fingerprint
from bench.assets.cache import cache_root, publish
from bench.assets.voices import REQUIREMENT, synthesize
from bench.data.sources.entries import Entry
from bench.errors import DataError

_RECIPE = "1"  # to be raised with whatever changes the files


def sentences_of(path: Path) -> list[str]:
    """Read sentences, one a line; empty lines are none.

    Raises:
        DataError: There is no such file, it is not UTF-8, or holds no sentence.
    """
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


def ensure_spoken(sentences: Sequence[str], voices: Sequence[str], rate_wpm: int) -> Path:
    """Folder with the sentences as WAV files, made at the first call; the voices take turns.

    Raises:
        AssetError: espeak-ng is not installed, knows no such voice or rate, or the cache cannot be written.
    """
    name = fingerprint.of_parts([_RECIPE, REQUIREMENT, str(rate_wpm), *voices, "", *sentences])

    def build(folder: Path) -> None:
        for number, sentence in enumerate(sentences):
            samples, rate_hz = synthesize(sentence, voices[number % len(voices)], rate_wpm)
            with wave.open(str(folder / _file(number)), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(rate_hz)
                file.writeframes(samples.astype("<i2").tobytes())

    return publish(cache_root() / "recordings" / f"synthetic-{name}", build)


def entries_of(source: Path, sentences: Sequence[str], voices: Sequence[str]) -> Iterator[Entry]:
    """Name the files of :func:`ensure_spoken`, with the voices as speakers."""
    for number, sentence in enumerate(sentences):
        yield Entry(f"{source} sentence {number + 1}", _file(number), sentence, voices[number % len(voices)])


def _file(number: int) -> str:
    return f"{number + 1:06}.wav"
