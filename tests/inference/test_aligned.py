"""Properties on recordings made up here, whose true words are known; real speech is in test_aligned_speech.py."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.config import DecodeConfig
from bench.inference.aligned import join_aligned
from bench.inference.pieces import Piece, spread
from bench.inference.windows import cut
from bench.records import Window

RATE_HZ = 16_000
TICK = RATE_HZ // 100  # everything lies on hundredths of a second


@dataclass(frozen=True)
class Spoken:
    """A word of the recording, in samples."""

    text: str
    start: int
    stop: int

    def lies_in(self, window: Window) -> bool:
        return window.start <= self.start and self.stop <= window.stop

    def meets(self, start: int, stop: int) -> bool:
        return self.start < stop and self.stop > start

    def read_by(self, window: int) -> Piece:
        return Piece(f" {self.text}", window, self.start / RATE_HZ, self.stop / RATE_HZ)


@dataclass(frozen=True)
class Scene:
    """A recording: its words, each of which lies in some window, and its windows."""

    spoken: list[Spoken]
    windows: list[Window]

    @property
    def texts(self) -> list[str]:
        return [word.text for word in self.spoken]

    @property
    def shared(self) -> list[tuple[int, int]]:
        """Spans that two neighbours see."""
        return [(later.start, earlier.stop) for earlier, later in itertools.pairwise(self.windows)]

    def outside(self) -> list[str]:
        """Words that no two windows see any of."""
        return [word.text for word in self.spoken if not any(word.meets(*span) for span in self.shared)]

    def heard(self) -> list[list[Piece]]:
        """What a perfect listener says: in each window the words that lie in it."""
        return [
            [word.read_by(number) for word in self.spoken if word.lies_in(window)]
            for number, window in enumerate(self.windows)
        ]

    def joined(self, readings: Sequence[Sequence[Piece]]) -> list[Piece]:
        return join_aligned(readings, self.windows, RATE_HZ)


distinct = st.lists(st.text("abcdefgh", min_size=1, max_size=6), max_size=40, unique=True)
# Where a word's other reading is lost, one much like it nearby may be taken for that.
unlike = st.permutations("abcdefghijklmnopqrstuvwxyz").flatmap(
    lambda letters: st.integers(0, 26).map(lambda count: letters[:count])
)
repeated = st.lists(st.sampled_from(["no", "yes", "loan", "alone"]), max_size=40)
strides = st.one_of(st.just(0), st.integers(20, 500))
some_stride = st.integers(20, 500)
gaps = st.one_of(st.just(0), st.integers(0, 20), st.integers(0, 200))


@st.composite
def scenes(draw: st.DrawFn, words: st.SearchStrategy[list[str]], stride_ticks: st.SearchStrategy[int]) -> Scene:
    stride = draw(stride_ticks)
    chunk = draw(st.integers(2 * stride + 40, 2 * stride + 1000))
    spoken, now = [], 0
    for text in draw(words):
        now += draw(gaps)
        length = draw(st.integers(8, 60))
        spoken.append(Spoken(text, now * TICK, (now + length) * TICK))
        now += length
    samples = (now + draw(st.integers(1, 100))) * TICK
    windows = cut(samples, RATE_HZ, DecodeConfig(chunk_length_s=chunk / 100, stride_length_s=stride / 100))
    return Scene([word for word in spoken if any(word.lies_in(window) for window in windows)], windows)


@st.composite
def readings_with(draw: st.DrawFn, scene: Scene, replaces: bool) -> list[list[Piece]]:
    """What is heard where windows see a span alone; within shared spans also, or only, words nobody said."""
    made = []
    for number, window in enumerate(scene.windows):
        spans = [span for span in scene.shared if window.start <= span[0] and span[1] <= window.stop]
        reading = [
            word.read_by(number)
            for word in scene.spoken
            if word.lies_in(window) and not (replaces and any(word.meets(*span) for span in scene.shared))
        ]
        for start, stop in spans:
            for text in draw(st.lists(st.text("uvwxyz", min_size=1, max_size=6), max_size=6)):
                begin = draw(st.integers(start // TICK, stop // TICK - 1))
                end = draw(st.integers(begin + 1, min(begin + 60, stop // TICK)))
                reading.append(Spoken(text, begin * TICK, end * TICK).read_by(number))
        made.append(sorted(reading, key=lambda piece: piece.start_s))
    return made


def _texts(pieces: Sequence[Piece]) -> list[str]:
    return [piece.text.strip() for piece in pieces]


def _subsequence(wanted: Sequence[str], texts: Sequence[str]) -> bool:
    left = iter(texts)
    return all(text in left for text in wanted)


@given(st.one_of(scenes(distinct, strides), scenes(repeated, some_stride)))
@settings(max_examples=500, deadline=None)
def test_perfect_hearing_gives_exactly_what_was_said(scene: Scene) -> None:
    assert _texts(scene.joined(scene.heard())) == scene.texts


@given(scenes(distinct, some_stride))
@settings(max_examples=300, deadline=None)
def test_a_word_cut_by_a_border_is_not_doubled(scene: Scene) -> None:
    """Windows here also read words of which they hear the larger part, whole, at the times they hear of it."""
    readings = [
        [
            replace(
                word.read_by(number),
                start_s=max(word.start, window.start) / RATE_HZ,
                end_s=min(word.stop, window.stop) / RATE_HZ,
            )
            for word in scene.spoken
            if window.start <= (word.start + word.stop) / 2 < window.stop
        ]
        for number, window in enumerate(scene.windows)
    ]
    assert _texts(scene.joined(readings)) == scene.texts


@given(scenes(unlike, st.integers(100, 500)), st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_times_may_be_tenths_of_a_second_wrong(scene: Scene, random: Random) -> None:
    """Where windows share two seconds or more, as they do from a stride of one second on."""
    readings = []
    for reading in scene.heard():
        moved = [(piece, random.uniform(-0.15, 0.15)) for piece in reading]
        readings.append([replace(p, start_s=p.start_s + by_s, end_s=p.end_s + by_s) for p, by_s in moved])
    assert _texts(scene.joined(readings)) == scene.texts


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_what_is_misheard_in_shared_spans_costs_nothing_outside(data: st.DataObject) -> None:
    scene = data.draw(scenes(distinct, some_stride))
    outside = scene.outside()
    texts = _texts(scene.joined(data.draw(readings_with(scene, replaces=False))))
    assert _subsequence(outside, texts)
    assert all(texts.count(text) == 1 for text in outside)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_windows_that_disagree_each_contribute_one_stretch(data: st.DataObject) -> None:
    scene = data.draw(scenes(distinct, some_stride))
    readings = data.draw(readings_with(scene, replaces=True))
    joined = scene.joined(readings)
    assert _subsequence(scene.outside(), _texts(joined))
    numbers = [piece.window for piece in joined]
    assert numbers == sorted(numbers)
    for number, pieces in itertools.groupby(joined, key=lambda piece: piece.window):
        stretch = list(pieces)
        reading = readings[number]
        assert any(reading[at : at + len(stretch)] == stretch for at in range(len(reading)))


@given(scenes(st.lists(st.sampled_from(["no", "yes", "loan", "bus"]), max_size=40), st.just(0)))
@settings(max_examples=500, deadline=None)
def test_windows_that_touch_are_concatenated(scene: Scene) -> None:
    """Only one word can be cut by a seam: of two equal ones that end and start within 0.3 s of it, one is kept."""
    readings = scene.heard()
    expected = _texts(readings[0])
    for (earlier, reading), (window, following) in itertools.pairwise(zip(scene.windows, readings, strict=True)):
        assert earlier.stop == window.start
        seam_s = window.start / RATE_HZ
        doubled = (
            bool(reading and following)
            and reading[-1].text == following[0].text
            and reading[-1].end_s > seam_s - 0.3
            and following[0].start_s < seam_s + 0.3
        )
        expected += _texts(following[1:] if doubled else following)
    assert _texts(scene.joined(readings)) == expected


@given(scenes(repeated, st.just(500)), st.integers(1, 100))
def test_windows_apart_are_concatenated(scene: Scene, apart: int) -> None:
    """As cutting at silences leaves them: even the same words on either side were said twice."""
    length = scene.windows[-1].stop
    windows = [Window(0, length, 0, 0), Window(length + apart, 2 * length + apart, 0, 0)]
    again_s = (length + apart) / RATE_HZ
    first = [word.read_by(0) for word in scene.spoken]
    second = [replace(piece, window=1, start_s=piece.start_s + again_s, end_s=piece.end_s + again_s) for piece in first]
    assert join_aligned([first, second], windows, RATE_HZ) == first + second


@given(scenes(repeated, strides))
def test_one_window_is_left_as_it_is(scene: Scene) -> None:
    window = Window(0, scene.windows[-1].stop, 0, 0)
    reading = [word.read_by(0) for word in scene.spoken]
    assert join_aligned([reading], [window], RATE_HZ) == reading


def test_no_window_at_all() -> None:
    assert join_aligned([], [], RATE_HZ) == []


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_window_that_said_nothing_takes_nothing_away(data: st.DataObject) -> None:
    scene = data.draw(scenes(unlike, some_stride))
    silent = data.draw(st.integers(0, len(scene.windows) - 1))
    readings = [[] if number == silent else reading for number, reading in enumerate(scene.heard())]
    heard = {piece.text.strip() for reading in readings for piece in reading}
    assert _texts(scene.joined(readings)) == [text for text in scene.texts if text in heard]


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_window_that_stopped_early_loses_nothing_the_next_one_heard(data: st.DataObject) -> None:
    scene = data.draw(scenes(unlike, some_stride))
    readings = scene.heard()
    stopped = data.draw(st.integers(0, len(readings) - 1))
    readings[stopped] = readings[stopped][: data.draw(st.integers(0, len(readings[stopped])))]
    heard = {piece.text for reading in readings for piece in reading}
    assert _texts(scene.joined(readings)) == [text for text in scene.texts if f" {text}" in heard]


@given(count=st.integers(1, 80), chunk_s=st.integers(8, 20), stride_s=st.integers(1, 3), repeats=st.booleans())
@settings(max_examples=200, deadline=None)
def test_words_of_unknown_times(count: int, chunk_s: int, stride_s: int, repeats: bool) -> None:
    """Two words a second, all equally long, are where an even spread puts them."""
    words = [f"{'aeiou'[number % 5] * 2 if repeats else number:0>2}" for number in range(count)]
    spec = DecodeConfig(chunk_length_s=chunk_s, stride_length_s=stride_s)
    windows = cut(count * RATE_HZ // 2, RATE_HZ, spec)
    readings = []
    for number, window in enumerate(windows):
        first, stop = window.start * 2 // RATE_HZ, window.stop * 2 // RATE_HZ
        texts = [f" {word}" for word in words[first:stop]]
        readings.append(spread(texts, number, window.start / RATE_HZ, window.stop / RATE_HZ))
    joined = join_aligned(readings, windows, RATE_HZ)
    assert _texts(joined) == words
    assert not any(piece.timed for piece in joined)


def _timed(window: int, start_s: float, words: str) -> list[Piece]:
    """Words of 0.4 s, one after the other."""
    return [
        Piece(f" {word}", window, start_s + 0.4 * number, start_s + 0.4 * (number + 1))
        for number, word in enumerate(words.split())
    ]


@pytest.mark.parametrize(
    ("earlier", "later_s", "later", "expected"),
    [
        pytest.param("nobody could get al", 0.1, "body could get a loan", "nobody could get a loan", id="cut words"),
        pytest.param("we met on the", 0.8, "on the old bridge", "we met on the old bridge", id="agreement"),
        pytest.param("We met, on the", 0.8, "On the old bridge.", "We met, on the old bridge.", id="punctuation"),
        pytest.param("we met", 0.8, "on the old bridge", "we met on the old bridge", id="stopped early"),
        pytest.param("we met on the", 1.6, "old bridge", "we met on the old bridge", id="started late"),
        pytest.param("we met on thumb", 0.8, "on the old bridge", "we met on the old bridge", id="garbage at the end"),
        pytest.param(
            "we met on the", 0.8, "gone the old bridge", "we met on the old bridge", id="garbage at the start"
        ),
    ],
)
def test_worked_by_hand(earlier: str, later_s: float, later: str, expected: str) -> None:
    """The earlier window ends at 1.6 s, the later one starts at 0.8 s, or at 0.1 s where its first word does."""
    windows = [
        Window(0, round(1.6 * RATE_HZ), 0, 0),
        Window(round(min(later_s, 0.8) * RATE_HZ), 4 * RATE_HZ, 0, 0),
    ]
    joined = join_aligned([_timed(0, 0.0, earlier), _timed(1, later_s, later)], windows, RATE_HZ)
    assert " ".join(_texts(joined)) == expected


def test_what_a_window_makes_up_at_its_edge_is_dropped() -> None:
    """Ten words in ten seconds; each window misreads its edge, and the other one heard better."""
    said = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    pieces = [Piece(f" {word}", 0, float(at), at + 0.9) for at, word in enumerate(said)]
    windows = [Window(0, 7 * RATE_HZ, 0, 0), Window(3 * RATE_HZ, 10 * RATE_HZ, 0, 0)]
    earlier = [*pieces[:6], Piece(" subscribe", 0, 6.0, 6.9)]
    later = [Piece(" thanks", 1, 3.0, 3.9), *(replace(piece, window=1) for piece in pieces[4:])]
    assert _texts(join_aligned([earlier, later], windows, RATE_HZ)) == said
