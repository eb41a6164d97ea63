import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from bench.inference.pieces import Piece, group, spread


def _unused(tokens: Sequence[int]) -> str:
    raise AssertionError("blanks are told by the vocabulary alone")


@pytest.mark.parametrize(
    ("spelled", "expected"),
    [
        (["\u0120no", "body", "\u0120could", ",", "\u0120get"], [(0, 2), (2, 4), (4, 5)]),
        (["\u2581no", "body", "\u2581could"], [(0, 2), (2, 3)]),
        (["body", "\u0120could"], [(0, 1), (1, 2)]),  # a window that starts within a word
        (["\u0120", "5", "\u0120%"], [(0, 2), (2, 3)]),
        ([], []),
    ],
)
def test_a_word_starts_at_a_blank(spelled: list[str], expected: list[tuple[int, int]]) -> None:
    assert group(range(len(spelled)), spelled, _unused, spaced=True) == expected


@pytest.fixture(scope="module")
def tokenizer(tiny_en: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_en)


def _words(tokenizer: Any, text: str, spaced: bool) -> tuple[list[str], list[int]]:
    """Texts of the words, and how many tokens each takes."""
    tokens = tokenizer.encode(text, add_special_tokens=False)
    spans = group(tokens, tokenizer.convert_ids_to_tokens(tokens), tokenizer.decode, spaced)
    return [tokenizer.decode(tokens[first:stop]) for first, stop in spans], [stop - first for first, stop in spans]


def test_words_of_a_real_tokenizer(tokenizer: Any) -> None:
    text = " Nobody's antediluvian—loan, 1,200 times; naïve caf\u00e9s..."
    words, sizes = _words(tokenizer, text, spaced=True)
    assert words == [" Nobody's", " antediluvian—loan,", " 1,200", " times;", " naïve", " caf\u00e9s..."]
    assert max(sizes) > 1


def test_characters_where_there_are_no_blanks(tokenizer: Any) -> None:
    """An English vocabulary spells most of these in two or three tokens, none of which is text by itself."""
    text = "今天天氣很好鬱"
    words, sizes = _words(tokenizer, text, spaced=False)
    assert words == list(text)
    assert max(sizes) >= 2
    spelled_apart, _ = _words(tokenizer, text, spaced=True)
    assert spelled_apart == [text]


def test_a_character_that_was_left_unfinished_stays_one_word(tokenizer: Any) -> None:
    tokens = tokenizer.encode("好鬱", add_special_tokens=False)[:-1]
    spans = group(tokens, tokenizer.convert_ids_to_tokens(tokens), tokenizer.decode, spaced=False)
    assert tokenizer.decode(tokens[slice(*spans[0])]) == "好"
    assert "\ufffd" in tokenizer.decode(tokens[slice(*spans[-1])])
    assert spans[-1][1] == len(tokens)


@given(st.lists(st.sampled_from(["\u0120a", "b", "\u0120", "\u2581c", ","])))
def test_words_hold_every_token_once(spelled: list[str]) -> None:
    spans = group(range(len(spelled)), spelled, _unused, spaced=True)
    assert [at for first, stop in spans for at in range(first, stop)] == list(range(len(spelled)))
    assert all(first < stop for first, stop in spans)


def test_spread_by_hand() -> None:
    """Twelve characters over six seconds: half a second each."""
    assert spread([" ab", " cdefg", " hi"], window=3, start_s=10.0, end_s=16.0) == [
        Piece(" ab", 3, 10.0, 11.5, timed=False),
        Piece(" cdefg", 3, 11.5, 14.5, timed=False),
        Piece(" hi", 3, 14.5, 16.0, timed=False),
    ]


def test_spread_of_nothing() -> None:
    assert spread([], 0, 1.0, 2.0) == []
    assert spread([""], 0, 1.0, 2.0) == [Piece("", 0, 1.0, 1.0, timed=False)]


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1), st.floats(0, 1000), st.floats(0.1, 30))
def test_spread_fills_the_window(texts: list[str], start_s: float, length_s: float) -> None:
    pieces = spread(texts, 0, start_s, start_s + length_s)
    assert [piece.text for piece in pieces] == texts
    assert pieces[0].start_s == start_s
    assert pieces[-1].end_s == pytest.approx(start_s + length_s)
    assert all(one.end_s == following.start_s for one, following in itertools.pairwise(pieces))
    per_character_s = length_s / len("".join(texts))
    assert [piece.end_s - piece.start_s for piece in pieces] == pytest.approx(
        [len(text) * per_character_s for text in texts], abs=1e-9
    )
