"""From what a corpus says of an utterance to a checked one; what is wrong with one is a property of it, no end."""

import math
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.data.lengths import too_long
from bench.records import Utterance

_NOT_TEXT = re.compile("[\0\ud800-\udfff]")  # no file name, no UTF-8


@dataclass(frozen=True, slots=True)
class Entry:
    """An utterance as a corpus has it, unchecked: values of a JSON file may be of any type.

    Attributes:
        place: Where it stands, for messages: a file and a line.
        path: The audio file, relative to the corpus's root.
        text: The transcript; null where there is none.
        speaker: Label of the speaker.
        start_s: Start of the span in seconds; null or empty where the file is the utterance.
        duration_s: Length in seconds. Without a start it cuts nothing and is a note on the file's length.
        wrong: What is wrong with it already.
    """

    place: str
    path: Any
    text: Any
    speaker: Any = None
    start_s: Any = None
    duration_s: Any = None
    wrong: str | None = None


class Utterances:
    """Collects utterances, checks them, and gives each a name of its own.

    Args:
        root: Folder that relative audio paths start from.
        allow_outside_root: Accept paths that leave ``root``, through ``..``, links or as absolute paths.
        max_duration_s: Seconds beyond which an utterance is not used, where its length is known; null is no limit.

    Attributes:
        found: The utterances in the order they came. One that cannot be used has an ``error``, and no path that anyone
            could open.
    """

    def __init__(self, root: Path, *, allow_outside_root: bool = False, max_duration_s: float | None = None) -> None:
        self.found: list[Utterance] = []
        self._root = os.path.realpath(root)
        self._allow_outside_root = allow_outside_root
        self._max_duration_s = max_duration_s
        self._names: Counter[str] = Counter()
        self._folders: dict[str, tuple[str, bool]] = {}

    def add(self, entry: Entry) -> None:
        """Check an entry and add it, as an unusable utterance where something is wrong with it."""
        try:
            self.found.append(self._usable(entry))
        except _Unusable as wrong:
            name = entry.path if _is_text(entry.path) and entry.path.strip() else entry.place.rpartition(os.sep)[2]
            text = entry.text if _is_text(entry.text) else ""
            speaker = entry.speaker if _is_text(entry.speaker) and entry.speaker else None
            self.found.append(Utterance(self._own(name), Path(self._root), text, speaker, error=str(wrong)))

    def _usable(self, entry: Entry) -> Utterance:
        if entry.wrong is not None:
            raise _Unusable(f"{entry.place} {entry.wrong}")
        path = self._path(entry)
        if entry.text is None:
            raise _Unusable(f"{entry.place} has no text; give its transcript")
        text = _text(entry, "text", entry.text)
        # Many corpora number their speakers.
        label = str(entry.speaker) if type(entry.speaker) is int else entry.speaker
        speaker = None if label is None else _text(entry, "speaker", label) or None
        start_s = _seconds(entry, "start_s", entry.start_s)
        noted_s = _seconds(entry, "duration_s", entry.duration_s)
        if noted_s is not None and self._max_duration_s is not None and noted_s > self._max_duration_s:
            raise _Unusable(f"{entry.place}: {too_long(noted_s, self._max_duration_s)}")
        duration_s = noted_s if start_s is not None else None
        span = "" if start_s is None else f"@{start_s:g}" + ("" if duration_s is None else f"+{duration_s:g}")
        return Utterance(self._own(entry.path + span), path, text, speaker, start_s or 0.0, duration_s)

    def _path(self, entry: Entry) -> Path:
        """Follow a path to the end, links included, and hold it under the root."""
        name = _text(entry, "path", entry.path if entry.path is not None else "")
        if not name.strip():
            raise _Unusable(f"{entry.place} has no path; name the audio file of every row")
        last = name.rpartition("/")[2]
        above = name[: len(name) - len(last)]
        try:
            # A folder is followed once for all its files: this is what 100,000 lines spend their time on.
            folder, is_inside = self._folders.get(above) or self._follow(above)
            path = folder + last
            if last in {"", ".", ".."} or os.path.islink(path) or (os.altsep and os.sep in last):  # noqa: PTH114
                path = str(Path(path).resolve())
                is_inside = self._holds(path)
        except (OSError, RuntimeError) as error:  # up to Python 3.12, a loop of links is a RuntimeError
            raise _Unusable(f"{entry.place}: {name} cannot be followed ({error}); name the audio file itself") from None
        if not is_inside and not self._allow_outside_root:
            raise _Unusable(
                f"{entry.place}: {name} leaves the data root {self._root}; move the file there, name the right"
                " data.root, or say data.allow_outside_root=true"
            )
        return Path(path)

    def _follow(self, above: str) -> tuple[str, bool]:
        """Follow a folder to its end: its real name, which ends in a separator, and whether it is under the root."""
        real = os.path.realpath(os.path.join(self._root, above))  # noqa: PTH118
        self._folders[above] = f"{real.rstrip(os.sep)}{os.sep}", self._holds(real)
        return self._folders[above]

    def _holds(self, path: str) -> bool:
        return f"{path}{os.sep}".startswith(f"{self._root.rstrip(os.sep)}{os.sep}")

    def _own(self, name: str) -> str:
        """Name an utterance; rows that repeat a name are numbered, and keep theirs when rows are added at the end."""
        key = name
        self._names[key] += 1
        while self._names[key] > 1:  # a file may itself be called "a.wav#2"
            key = f"{key}#{self._names[key]}"
            self._names[key] += 1
        return key


class _Unusable(Exception):  # noqa: N818 - it never leaves this module
    """An entry that cannot be used, and why."""


def _is_text(value: object) -> bool:
    return isinstance(value, str) and ((value.isascii() and "\0" not in value) or not _NOT_TEXT.search(value))


def _text(entry: Entry, column: str, value: Any) -> str:
    if not _is_text(value):
        raise _Unusable(f"{entry.place}: {column} is {value!r:.80}, not text; give a string")
    return str(value)


def _seconds(entry: Entry, column: str, value: Any) -> float | None:
    if value is None or value == "":
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    least_ok = seconds >= 0 if column == "start_s" else seconds > 0
    if isinstance(value, bool) or not (math.isfinite(seconds) and least_ok):
        raise _Unusable(
            f"{entry.place}: {column}={value!r:.80} is no number of seconds; leave it empty for the whole file"
        )
    return seconds
