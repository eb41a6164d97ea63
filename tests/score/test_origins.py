"""From normalised words back to those that were written."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.config import NormalizerName
from bench.score.normalize import normalizer
from bench.score.origins import origins


def told(name: NormalizerName, written: list[str], joined: str) -> list[tuple[str, str]]:
    normalize = normalizer(name)
    normalized = normalize(joined).split()
    spans = origins(normalized, written, normalize)
    return [(word, " ".join(written[start:stop])) for word, (start, stop) in zip(normalized, spans, strict=True)]


def test_words_that_a_normaliser_splits_joins_or_drops() -> None:
    text = "I can't pay twenty five dollars, [music] Mr. Jones!"
    assert told(NormalizerName.whisper_english, text.split(), text) == [
        ("i", "I"),
        ("can", "can't"),
        ("not", "can't"),
        ("pay", "pay"),
        ("$25", "twenty five dollars,"),
        ("mister", "Mr."),
        ("jones", "Jones!"),
    ]


def test_a_language_without_blanks() -> None:
    written = ["今日", "は", "いい", "。", "明日", "も"]
    assert told(NormalizerName.multilingual, written, "".join(written)) == [
        ("今日はいい", "今日 は いい"),
        ("明日も", "明日 も"),
    ]


@pytest.mark.parametrize("written", [[], ["[noise]"]])
def test_nothing_to_come_from(written: list[str]) -> None:
    assert origins([], written, normalizer(NormalizerName.whisper_english)) == []


@settings(deadline=None)
@given(st.lists(st.text("ab1,.' é", min_size=1, max_size=4), max_size=8))
def test_every_word_comes_from_some_and_never_from_before_the_last(written: list[str]) -> None:
    normalize = normalizer(NormalizerName.multilingual)
    normalized = normalize(" ".join(written)).split()
    spans = origins(normalized, written, normalize)
    assert len(spans) == len(normalized)
    assert all(0 <= start < stop <= len(written) for start, stop in spans)
    assert spans == sorted(spans)
