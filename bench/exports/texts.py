"""The transcripts of a run, a file an utterance."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pandas as pd

from bench.records import Transcript, Window, Word
from bench.transcription.spoken import spoken, tells_times
from bench.transcription.subtitles import cues, srt, vtt

_MOST_BYTES = 150  # of a name; file systems take 255, and endings and numbers come on top
_UNSAFE = re.compile(r"[^\w.+@=,-]+")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)  # Windows has devices of these names
_RATE_HZ = 1000


class TextFormat(StrEnum):
    """What a transcript is written as; its name is the file's ending."""

    txt = "txt"
    srt = "srt"
    vtt = "vtt"


@dataclass(frozen=True)
class Texts:
    """Transcripts.

    Attributes:
        files: Content by file name; no two names are equal on a file system that takes ``A`` for ``a``.
        estimated: How many have words whose times are estimates.
        left_out: How many utterances have no transcript.
    """

    files: Mapping[str, str]
    estimated: int
    left_out: int


def texts(utterances: pd.DataFrame, form: TextFormat) -> Texts:
    """Write the transcripts of a run.

    Args:
        utterances: Rows of the utterances table, of one run.
        form: What to write.
    """
    done = utterances[utterances["hypothesis"].notna()]
    names = file_names(done["utterance_id"].tolist())
    found = [_transcript(row) for row in done.to_dict("records")]
    files = {f"{name}.{form}": _written(transcript, form) for name, transcript in zip(names, found, strict=True)}
    estimated = 0 if form is TextFormat.txt else sum(bool(one.windows) for one in found)
    return Texts(files, estimated, len(utterances) - len(done))


def file_names(ids: Sequence[str]) -> list[str]:
    """Make names of files of utterance ids: within their folder, allowed everywhere, and no two alike."""
    found: list[str] = []
    taken: set[str] = set()
    for one in ids:
        stem = unicodedata.normalize("NFC", one.encode("utf-8", "replace").decode())
        stem = _UNSAFE.sub("_", stem).strip("._") or "utterance"
        stem = f"_{stem}" if _RESERVED.match(stem) else stem
        stem = stem.encode()[:_MOST_BYTES].decode(errors="ignore").rstrip(".")
        name, number = stem, 1
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.casefold())
        found.append(name)
    return found


def _written(transcript: Transcript, form: TextFormat) -> str:
    match form:
        case TextFormat.txt:
            return f"{transcript.text}\n"
        case TextFormat.srt:
            return srt(cues(spoken(transcript, _RATE_HZ)))
        case TextFormat.vtt:
            return vtt(cues(spoken(transcript, _RATE_HZ)))


def _transcript(row: Mapping[Any, Any]) -> Transcript:
    """Read a transcript; where a word has no time, one window stands for the utterance, over which words are spread.

    The windows themselves are not stored.
    """
    text = str(row["hypothesis"])
    words = () if row["words"] is None else tuple(Word(**word) for word in row["words"])
    known = Transcript(text, words, ())
    if words and tells_times(known):
        return known
    heard = [word.text for word in words] or text.split()
    length = round(_RATE_HZ * (row["audio_s"] if pd.notna(row["audio_s"]) else 0.0))
    return Transcript(text, tuple(Word(word, 0) for word in heard), (Window(0, length, 0, 0),))
