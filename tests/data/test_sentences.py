"""Which transcripts are the same sentence."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data.sentences import plain

SAME = [
    ("Don\N{RIGHT SINGLE QUOTATION MARK}t STOP — Émile!", "dont stop emile"),
    ("Dw i'n mynd i'r tŷ.", "dw in mynd ir ty"),
    ("E\N{COMBINING ACUTE ACCENT}mile", "\N{LATIN CAPITAL LETTER E WITH ACUTE}mile"),
    ("Straße, ﬁn", "STRASSE FIN"),
    ("\N{FULLWIDTH LATIN CAPITAL LETTER B}\N{IDEOGRAPHIC SPACE}\N{FULLWIDTH DIGIT ONE}", "b 1"),
    ("  well-known\tthings\n", "well known things"),
    ("你好\N{FULLWIDTH COMMA}世界。", "你好 世界"),
    ("¿Qué?", "que"),
]
OTHER = [
    ("एक किताब", "एक कताब"),  # vowel signs are letters, though Unicode calls them marks
    ("が", "か"),  # and so are the voicing marks of kana
    ("ก็", "ก"),
    ("one two", "onetwo"),
    ("3", "4"),
    ("its 10", "its 1"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_spelling_does_not_matter(one: str, other: str) -> None:
    assert plain(one) == plain(other) != ""


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_letters_and_digits_of_all_scripts_do(one: str, other: str) -> None:
    assert plain(one) != plain(other)


@pytest.mark.parametrize("text", ["", "  ", "...", "—?!", "''"])
def test_what_has_no_words_is_empty(text: str) -> None:
    assert plain(text) == ""


@given(st.text())
def test_it_is_plain_after_once(text: str) -> None:
    once = plain(text)
    assert plain(once) == once
    assert plain(unicodedata.normalize("NFD", text)) == once


@given(
    st.lists(st.sampled_from(["Ein", "tŷ", "Über", "naïve", "日本", "ক্ষ", "йод"]), min_size=1),
    st.sampled_from("!?.,;:—«»"),
)
def test_case_and_punctuation_go(words: list[str], mark: str) -> None:
    assert plain(f"{mark} ".join(words).upper() + mark) == plain(" ".join(words))
    assert len(plain(" ".join(words)).split()) == len(words)
