"""A transcript as text, subtitles or JSON."""

import json
from enum import StrEnum
from typing import TYPE_CHECKING

from bench.config import Config
from bench.records import Transcript
from bench.score.language import likely_language
from bench.transcription.settings import deciding
from bench.transcription.spoken import spoken, tells_times, timed
from bench.transcription.subtitles import cues, srt, vtt

if TYPE_CHECKING:
    from bench.transcription.run import Transcribed

JSON_VERSION = 1
"""Version of the form of JSON; to be raised when a key changes its meaning or goes."""


class Format(StrEnum):
    """What a transcript is written as; its name is the file's ending."""

    txt = "txt"
    srt = "srt"
    vtt = "vtt"
    json = "json"


SUBTITLES = frozenset({Format.srt, Format.vtt})


def written(done: "Transcribed", config: Config, form: Format, indent: int | None = None) -> str:
    """Write a transcript.

    Args:
        done: A recording that has one.
        config: The settings it was made with.
        form: What to write.
        indent: Blanks that JSON is indented by; null writes it on one line.
    """
    transcript, rate_hz = done.transcript, done.rate_hz
    assert transcript is not None
    assert rate_hz is not None
    match form:
        case Format.txt:
            return f"{transcript.text}\n"
        case Format.srt:
            return srt(cues(spoken(transcript, rate_hz)))
        case Format.vtt:
            return vtt(cues(spoken(transcript, rate_hz)))
        case Format.json:
            # JSON has no word for what is no number, and nothing here should be none.
            return json.dumps(_content(done, config), ensure_ascii=False, allow_nan=False, indent=indent) + "\n"


def _content(done: "Transcribed", config: Config) -> dict[str, object]:
    transcript, rate_hz = done.transcript, done.rate_hz
    assert transcript is not None
    assert rate_hz is not None
    return {
        "version": JSON_VERSION,
        "file": str(done.path),
        "duration_s": done.duration_s,
        "language": _language(transcript, config),
        "settings": deciding(config),
        "text": transcript.text,
        "times": "told" if tells_times(transcript) else "estimated",
        "words": [
            {
                "text": word.text,
                "start_s": word.start_s,
                "end_s": word.end_s,
                "window": word.window,
                "seam_s": word.seam_s,
            }
            for word in timed(transcript, rate_hz)
        ],
        "windows": [
            {
                "start_s": window.start / rate_hz,
                "end_s": window.stop / rate_hz,
                "left_s": window.left / rate_hz,
                "right_s": window.right / rate_hz,
            }
            for window in transcript.windows
        ],
    }


def _language(transcript: Transcript, config: Config) -> str | None:
    """Return the language of the text: the one asked for, or the one it looks like; null where that is open."""
    if config.decode.language is not None and config.decode.task != "translate":
        return config.decode.language
    return likely_language(transcript.text)
