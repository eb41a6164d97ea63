"""Every word gets a time and the blank that its text has."""

import pytest

from bench.records import Transcript, Window, Word
from bench.transcription.spoken import spoken, tells_times, timed

# Two windows of 10 s that share 4 s, at 10 samples a second: 0 to 8 s are the first one's own, 8 to 16 s the second's.
WINDOWS = (Window(0, 100, 0, 20), Window(60, 160, 20, 0))


def test_told_times_stay() -> None:
    words = (Word("one", 0, 1.0, 2.0), Word("two", 1, 9.0, 9.5))
    transcript = Transcript("one two", words, WINDOWS)
    assert tells_times(transcript)
    assert timed(transcript, 10) == words


def test_words_without_times_are_spread_over_what_their_window_keeps() -> None:
    transcript = Transcript("a bbb cc dd", (Word("a", 0), Word("bbb", 0), Word("cc", 1), Word("dd", 1)), WINDOWS)
    assert not tells_times(transcript)
    found = [(word.start_s, word.end_s) for word in timed(transcript, 10)]
    assert found == [(0.0, 2.0), (2.0, 8.0), (8.0, 12.0), (12.0, 16.0)]


def test_among_told_times_only_what_lacks_one_is_estimated() -> None:
    words = (Word("ab", 0, 0.5, 1.0), Word("cd", 0))
    assert [word.start_s for word in timed(Transcript("ab cd", words, WINDOWS), 10)] == [0.5, 4.0]


@pytest.mark.parametrize(
    ("text", "words", "blanks"),
    [
        ("one two", ["one", "two"], [False, True]),
        ("今日は", ["今", "日", "は"], [False, False, False]),
        ("今日 is today", ["今", "日", "is", "today"], [False, False, True, True]),
        ("it's", ["it", "'s"], [False, False]),
        ("does not add up", ["do", "es", "addup"], [True, True, True]),
        ("不合", ["�", "合"], [False, False]),
    ],
)
def test_blanks_are_those_of_the_text(text: str, words: list[str], blanks: list[bool]) -> None:
    transcript = Transcript(text, tuple(Word(word, 0) for word in words), WINDOWS)
    placed = spoken(transcript, 10)
    assert [word.text for word in placed] == words
    assert [word.spaced for word in placed] == blanks
