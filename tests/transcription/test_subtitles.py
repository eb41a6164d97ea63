"""Words to cues to files: nothing lost, nothing overlapping, limits kept, and FFmpeg reads what was written."""

import itertools
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.transcription.spoken import Spoken
from bench.transcription.subtitles import LINE, Cue, cues, srt, vtt

MARKS = st.sampled_from(["", "", "", ",", ".", "?", "…", "。"])
WORDS = st.builds(
    lambda text, mark, spaced: (text + mark, spaced),
    st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=60),
    MARKS,
    st.booleans(),
)
SECONDS = st.floats(0, 9, allow_nan=False)


@st.composite
def speech(draw: st.DrawFn, orderly: bool = False) -> list[Spoken]:
    """Words in order; unless ``orderly``, of any length, all at once, or running backwards at times."""
    words, now_s = [], 0.0
    for text, spaced in draw(st.lists(WORDS, max_size=60)):
        if orderly:
            gap_s, lasts_s = draw(st.floats(0, 2)), draw(st.floats(0.1, 0.6))
            words.append(Spoken(text[:20], now_s + gap_s, now_s + gap_s + lasts_s, spaced=True))
        else:
            gap_s, lasts_s = draw(st.floats(-2, 9)), draw(st.floats(-1, 12))
            words.append(Spoken(text, now_s + gap_s, now_s + gap_s + lasts_s, spaced))
        now_s = words[-1].end_s
    return words


def said(words: list[Spoken]) -> str:
    return "".join(word.text for word in words)


def shown(made: list[Cue]) -> str:
    return "".join("".join(cue.lines) for cue in made).replace(" ", "")


@given(speech())
def test_no_word_is_lost_and_no_cue_overlaps_the_next(words: list[Spoken]) -> None:
    made = cues(words)
    assert shown(made) == said(words)
    assert all(cue.start_ms < cue.end_ms <= cue.start_ms + 7000 for cue in made)
    assert all(cue.start_ms >= 0 and 1 <= len(cue.lines) <= 2 for cue in made)
    assert all(before.end_ms <= after.start_ms for before, after in itertools.pairwise(made))


@given(speech(orderly=True))
def test_limits_are_kept_where_words_allow_it(words: list[Spoken]) -> None:
    made = cues(words)
    assert all(len(line) <= 42 + sum(ord(mark) > 0x10FF for mark in line) for cue in made for line in cue.lines)
    begins = [cue.start_ms for cue in made]
    spoken_ms = [round(1000 * word.start_s) for word in words]
    assert set(begins) <= set(spoken_ms)  # no cue is held back by the one before
    for cue, following in itertools.pairwise(made):
        assert cue.end_ms - cue.start_ms >= 1000 or cue.end_ms == following.start_ms


def words_of(text: str, seconds: float = 0.3, start_s: float = 0.0) -> list[Spoken]:
    return [Spoken(word, start_s + n * seconds, start_s + (n + 1) * seconds) for n, word in enumerate(text.split())]


def test_a_cue_ends_with_its_sentence() -> None:
    words = words_of("This is the first sentence of them. And here is the second one, as long as that.")
    assert [cue.lines for cue in cues(words)] == [
        ("This is the first sentence of them.",),
        ("And here is the second one,", "as long as that."),
    ]


def test_a_pause_separates_and_a_title_does_not() -> None:
    words = [*words_of("Good morning to you Mr. Hale"), *words_of("and what a fine day", start_s=5.0)]
    (first, second) = cues(words)
    assert first == Cue(0, 1800, ("Good morning to you Mr. Hale",))
    assert (second.start_ms, second.lines) == (5000, ("and what a fine day",))


def test_short_sentences_share_a_cue() -> None:
    (cue,) = cues(words_of("No. No. Yes."))
    assert cue.lines == ("No. No. Yes.",)


def test_a_short_text_stays_until_it_is_read() -> None:
    assert cues([Spoken("Hm.", 2.0, 2.1)]) == [Cue(2000, 3000, ("Hm.",))]
    # 34 characters at 17 a second.
    assert cues([Spoken("x" * 34, 2.0, 2.1)])[0].end_ms == 4000
    assert cues([Spoken("Aaaaah", 2.0, 30.0)])[0].end_ms == 9000


def test_a_language_without_blanks_gets_none_and_counts_double() -> None:
    text = "今天天气很好我们一起去公园散步然后回家吃饭看电视睡觉明天再见"  # 30 characters, 60 columns
    words = [Spoken(mark, 0.2 * n, 0.2 * (n + 1), spaced=False) for n, mark in enumerate(text)]
    (cue,) = cues(words)
    assert "".join(cue.lines) == text
    assert len(cue.lines) == 2
    assert max(map(len, cue.lines)) <= LINE / 2


def test_nothing_said_is_a_file_without_cues() -> None:
    assert srt(cues([])) == ""
    assert vtt(cues([])) == "WEBVTT\n"


def test_files_are_written_as_their_formats_have_it() -> None:
    made = [Cue(0, 1500, ("a < b & c > d",)), Cue(3_725_004, 3_726_000, ("x ---> y", "second"))]
    assert srt(made) == (
        "1\r\n00:00:00,000 --> 00:00:01,500\r\na < b & c > d\r\n\r\n"
        "2\r\n01:02:05,004 --> 01:02:06,000\r\nx -> y\r\nsecond\r\n"
    )
    assert vtt(made) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\na &lt; b &amp; c &gt; d\n\n"
        "01:02:05.004 --> 01:02:06.000\nx ---&gt; y\nsecond\n"
    )


@pytest.mark.parametrize(("write", "ending"), [(srt, "srt"), (vtt, "vtt")])
def test_ffmpeg_reads_the_same_cues(write: Callable[[list[Cue]], str], ending: str, tmp_path: Path) -> None:
    text = (
        "It was the best of times, it was the worst of times, it was the age of wisdom. “Was it?” said he. 1775 & on."
    )
    made = cues(words_of(text, seconds=0.41))
    assert len(made) > 1
    path = tmp_path / f"a.{ending}"
    path.write_bytes(write(made).encode())
    assert read_back(path) == [(cue.start_ms, cue.end_ms, " ".join(cue.lines)) for cue in made]


def read_back(path: Path) -> list[tuple[int, int, str]]:
    """Cues as FFmpeg's demuxer finds them: start and end in milliseconds, and the text on one line."""
    found = []
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.pts is not None and packet.duration is not None and packet.size:
                start_ms = round(1000 * packet.pts * packet.time_base)
                text = bytes(packet).decode().replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")
                found.append((start_ms, start_ms + round(1000 * packet.duration * packet.time_base), text))
    return [(start_ms, end_ms, " ".join(text.split())) for start_ms, end_ms, text in found]
