"""Words with times as subtitles: which words share a cue, its lines and times, and the files SubRip and WebVTT.

The limits are those of the Netflix Timed Text Style Guide (General Requirements, and English: two lines of 42
characters, at most 7 s, at least 5/6 s, here 1 s; 17 characters a second for adults; lines are best broken after
punctuation). Where words leave a choice, all cues of a recording are chosen together, as TeX chooses the lines of a
paragraph (Knuth and Plass 1981, "Breaking Paragraphs into Lines"): a break is free after a sentence or a pause, cheap
after a clause, dear elsewhere, and so is what ends too soon to be read. No word is lost, whatever the limits: a word
longer than a line, or a second of a hundred words, breaks them.
"""

import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.transcription.spoken import Spoken

LINE = 42
"""Most characters of a line; a full-width one counts twice."""

LINES = 2
SHORTEST_S = 1.0
LONGEST_S = 7.0
READING = 17.0
"""Characters that are read in a second; a cue stays for as long as it takes, where nothing follows."""

PAUSE_S = 0.7
"""Silence between two words from which on it separates them."""

_LEAST_MS = 100  # what words that all begin at once are given

# Costs of a place to break, and of what a cue holds; a cue itself costs 1.
_BREAK, _AFTER_CLAUSE = 2.0, 0.5
_HELD_SENTENCE, _HELD_PAUSE = 1.5, 3.0
_TOO_SHORT = 1.5

_SENTENCE_ENDS = tuple(".?!\u2026\u3002\uff0e\uff1f\uff01\u0964\u061f")
_CLAUSE_ENDS = tuple(",;:\u2013\u2014\uff0c\u3001\uff1b\uff1a\u060c\u061b")
_CLOSING = "\"')]}\u2019\u201d\u00bb\u300d\u300f\uff09"
_NO_ENDS = frozenset({"mr.", "mrs.", "ms.", "dr.", "st.", "prof.", "vs.", "e.g.", "i.e."})

_ARROW = re.compile("-{2,}>")


@dataclass(frozen=True)
class Cue:
    """What stands on the screen at once.

    Attributes:
        start_ms: When it appears, in milliseconds from the start of the recording.
        end_ms: When it goes, later than that.
        lines: Its text, one or two lines.
    """

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


def cues(words: Sequence[Spoken]) -> list[Cue]:
    """Make words into cues, in order, none of which overlaps the next.

    Args:
        words: The words of a recording, in order. Times that run backwards, as they may at a seam, are held.
    """
    words = _in_order(words)
    groups = [words[first:stop] for first, stop in itertools.pairwise(_breaks(words))]
    starts_ms = [round(1000 * group[0].start_s) for group in groups]
    made: list[Cue] = []
    for number, group in enumerate(groups):
        start_ms = max(starts_ms[number], made[-1].end_ms if made else 0)
        to_read_s = min(max(SHORTEST_S, _width(group) / READING), LONGEST_S)
        end_ms = max(round(1000 * group[-1].end_s), start_ms + round(1000 * to_read_s))
        end_ms = min(end_ms, start_ms + round(1000 * LONGEST_S), *starts_ms[number + 1 : number + 2])
        made.append(Cue(start_ms, max(end_ms, start_ms + _LEAST_MS), _lines(group)))
    return made


def srt(made: Sequence[Cue]) -> str:
    r"""Write cues as SubRip has them: numbered, times with a comma, lines that end in CR LF, a blank line after each.

    The format knows no escapes, so an arrow in the text, which would be read as times, is left one dash.
    """
    blocks = [
        f"{number}\n{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}\n"
        + "".join(f"{_ARROW.sub('->', line)}\n" for line in cue.lines)
        for number, cue in enumerate(made, 1)
    ]
    return "\n".join(blocks).replace("\n", "\r\n")


def vtt(made: Sequence[Cue]) -> str:
    """Write cues as WebVTT (W3C, section 4) has them; ``&``, ``<`` and ``>`` are escaped."""
    blocks = [
        f"{_clock(cue.start_ms, '.')} --> {_clock(cue.end_ms, '.')}\n" + "".join(f"{_escaped(x)}\n" for x in cue.lines)
        for cue in made
    ]
    return "\n".join(["WEBVTT\n", *blocks])


def _in_order(words: Sequence[Spoken]) -> list[Spoken]:
    """Hold back starts that would run backwards, and let no word end before it starts."""
    starts_s = itertools.accumulate((max(0.0, word.start_s) for word in words), max)
    return [
        Spoken(word.text, start_s, max(start_s, word.end_s), word.spaced)
        for word, start_s in zip(words, starts_s, strict=True)
    ]


def _breaks(words: Sequence[Spoken]) -> list[int]:
    """Choose where cues begin; the end of the words is the last place."""
    best = [0.0] + [float("inf")] * len(words)
    came_from = [0] * (len(words) + 1)
    for first in range(len(words)):
        for stop, cost in _candidates(words, first):
            if best[first] + cost < best[stop]:
                best[stop], came_from[stop] = best[first] + cost, first
    places = [len(words)]
    while places[-1]:
        places.append(came_from[places[-1]])
    return places[::-1]


def _candidates(words: Sequence[Spoken], first: int) -> Iterator[tuple[int, float]]:
    """Yield where a cue that begins with a word may end, and what it costs; one word alone is always possible."""
    held, widths = 0.0, _Widths()
    for last in range(first, len(words)):
        lasts_s = words[last].end_s - words[first].start_s
        if not widths.takes(words[last]) or (last > first and lasts_s > LONGEST_S):
            return
        stop = last + 1
        following_s = words[stop].start_s if stop < len(words) else float("inf")
        filled = widths.total / (LINE * LINES)  # its square makes cues that share a sentence alike in length
        too_short = _TOO_SHORT if following_s - words[first].start_s < SHORTEST_S else 0.0
        yield stop, 1.0 + held + filled**2 + too_short + _break_cost(words, last)
        held += _HELD_PAUSE if following_s - words[last].end_s >= PAUSE_S else 0.0
        held += _HELD_SENTENCE if _ends_sentence(words[last]) else 0.0


class _Widths:
    """Fills the lines of a cue word by word."""

    def __init__(self) -> None:
        self.total = 0
        self._line, self._lines = 0, 0

    def takes(self, word: Spoken) -> bool:
        """Add a word; returns whether there was room, which there always is for the first."""
        width, blank = _columns(word.text), int(word.spaced)
        self.total += width + (blank if self._lines else 0)
        if self._lines and self._line + blank + width <= LINE:
            self._line += blank + width
            return True
        self._line = width
        self._lines += 1
        return self._lines == 1 or (self._lines <= LINES and width <= LINE)


def _break_cost(words: Sequence[Spoken], last: int) -> float:
    """What it costs to end a cue with a word."""
    if last + 1 == len(words) or _ends_sentence(words[last]):
        return 0.0
    if words[last + 1].start_s - words[last].end_s >= PAUSE_S:
        return 0.0
    return _AFTER_CLAUSE if _ends_clause(words[last]) else _BREAK


def _lines(group: Sequence[Spoken]) -> tuple[str, ...]:
    """Break a cue into lines: none if it fits, else after punctuation, or in the middle."""
    if len(group) == 1 or _width(group) <= LINE:
        return (_joined(group),)

    def cost(at: int) -> tuple[int, int]:
        before, after = _width(group[:at]), _width(group[at:])
        dear = 0 if _ends_sentence(group[at - 1]) or _ends_clause(group[at - 1]) else LINE // 3
        return max(0, max(before, after) - LINE), abs(before - after) + dear

    at = min(range(1, len(group)), key=cost)
    return _joined(group[:at]), _joined(group[at:])


def _joined(group: Sequence[Spoken]) -> str:
    return "".join(f" {word.text}" if word.spaced else word.text for word in group).strip()


def _width(group: Sequence[Spoken]) -> int:
    return _columns(_joined(group))


def _columns(text: str) -> int:
    # Unicode Standard Annex 11: wide and full-width characters take two columns.
    return sum(2 if unicodedata.east_asian_width(mark) in "WF" else 1 for mark in text)


def _ends_sentence(word: Spoken) -> bool:
    return word.text.rstrip(_CLOSING).endswith(_SENTENCE_ENDS) and word.text.casefold() not in _NO_ENDS


def _ends_clause(word: Spoken) -> bool:
    return word.text.rstrip(_CLOSING).endswith(_CLAUSE_ENDS)


def _clock(milliseconds: int, point: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{rest:03}"


def _escaped(line: str) -> str:
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
