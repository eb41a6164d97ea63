"""Made-up sentences."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.assets import phrases
from bench.assets.phrases import phrase, vocabulary

NUMBERS = range(20_000)


@pytest.fixture(scope="module")
def sentences() -> list[str]:
    return [phrase(number) for number in NUMBERS]


def test_sentences_are_many_and_differ(sentences: list[str]) -> None:
    assert len(set(sentences)) > 19_000


def test_they_are_words_and_nothing_else(sentences: list[str]) -> None:
    assert all(re.fullmatch("[a-z']+( [a-z']+)+", sentence) for sentence in sentences)


def test_a_number_is_the_same_sentence_in_another_process_and_order(sentences: list[str]) -> None:
    code = "from bench.assets.phrases import phrase; print(*map(phrase, reversed(range(100, 120))), sep='\\n')"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == sentences[100:120][::-1]


def test_all_words_of_the_lecture_are_known_and_said(sentences: list[str]) -> None:
    lecture = Path(phrases.__file__).with_name("lecture.txt").read_text(encoding="utf-8").lower()
    words = set(re.sub("[^a-z' ]", " ", lecture).split())
    assert len(words) > 300
    assert words <= set(vocabulary())
    assert words <= {word for sentence in sentences for word in sentence.split()}


def grammatical(sentences: list[str]) -> list[str]:
    """Those of the grammar, which alone use an article before every kind of word."""
    return [item for item in sentences if re.search(r"^(the|a|an|my|i|he|she|it|they|we|you|who|what)\b", item)]


@pytest.mark.parametrize(
    "wrong",
    [
        r"^(an? \w+|he|she|it) (have|go|do|are|were|want|carry)\b",
        r"^(they|we|you) (has|goes|does|is|was|wants|carries)\b",
        r"^i (is|are|were|has|goes|does)\b",
        r"\b(childs|mans|womans|foots|knifes|potatos|citys|churchs|boxs|storys|dayies|furnitures|moneys)\b",
        r"\b(maked|goed|writed|puted|stoped|carryed|playied|studyed|plaied)\b",
        r"\b(an|a) (few|hundreds|many) \w+s other\b",
    ],
)
def test_common_mistakes_are_not_made(sentences: list[str], wrong: str) -> None:
    # A sentence of words in no order may hold two that stand so by chance; one in a thousand is such a one.
    assert sum(bool(re.search(wrong, item)) for item in sentences) <= len(sentences) / 1000


@pytest.mark.parametrize(
    ("article", "words"),
    [("an", ["apple", "hour", "idea", "umbrella", "orange"]), ("a", ["university", "useful", "table", "year"])],
)
def test_articles_go_by_the_sound_that_follows(sentences: list[str], article: str, words: list[str]) -> None:
    following = {match[2]: match[1] for item in sentences for match in re.finditer(r"\b(an?) (\w+)", item)}
    assert {following.get(word, article) for word in words} == {article}
