import json
import unicodedata
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.whisper.english_normalizer import BasicTextNormalizer, EnglishTextNormalizer

from bench.config import NormalizerName
from bench.score.normalize import Normalizer, normalizer

ENGLISH = normalizer(NormalizerName.whisper_english)
BASIC = normalizer(NormalizerName.whisper_basic)
NONE = normalizer(NormalizerName.none)

# OpenAI's table, which ships with whisper-normalizer; transformers has the code but takes the table from a model.
SPELLING = json.loads((files("whisper_normalizer") / "normalizers" / "english.json").read_text(encoding="utf-8"))

EXAMPLES = [
    "The colour of Mr. Smith's neighbour's grey aeroplane won't matter!",
    "He said, \"I can't, I shan't,\" and paid $20 million (laughs) for twenty-one tyres.",
    "two hundred and five point five percent of nineteen ninety nine [noise] <unk>",
    "Um, uh, the 3rd of May 2021, at 10:30... it's £5.60 — and a half",
    "Dr. Jones'll be there; let's go, y'all! they've gone",
    "naïve café, Ærøskøbing, ﬁne ½ x²",
    "",
    "   ",
]


THEIR_ENGLISH: Normalizer = EnglishTextNormalizer(SPELLING)
THEIR_BASIC: Normalizer = BasicTextNormalizer()


def words(text: str) -> list[str]:
    return text.split()


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The colour of the theatre", "the color of the theater"),
        ("We organised the neighbours", "we organized the neighbors"),
        ("I can't, we won't, let's", "i can not we will not let us"),
        ("twenty-one and two hundred", "21 and 200"),
        ("Hello, World!", "hello world"),
        ("[music] well (laughs) yes", "well yes"),
        ("Mr. Smith", "mister smith"),
    ],
)
def test_whisper_english_makes_spellings_contractions_and_numbers_alike(text: str, normal: str) -> None:
    assert words(ENGLISH(text)) == words(normal)


@pytest.mark.parametrize("text", EXAMPLES)
def test_whisper_english_is_what_transformers_has(text: str) -> None:
    assert words(ENGLISH(text)) == words(THEIR_ENGLISH(text))


@pytest.mark.parametrize("text", EXAMPLES)
def test_whisper_basic_is_what_transformers_has(text: str) -> None:
    assert words(BASIC(text)) == words(THEIR_BASIC(text))


PIECES = st.sampled_from(
    ["Colour", "grey", "won't", "it's", "twenty", "one", "hundred", "point", "five", "3rd", "$20", "million", "£5",
     "percent", "Mr.", "dr", "the", "(laughs)", "[x]", "a-b", "ŵ", "é", ",", ".", "?"]
)  # fmt: skip


@given(text=st.lists(PIECES, max_size=12).map(" ".join) | st.text(max_size=20))
@settings(deadline=None)
def test_both_agree_with_transformers_on_any_text(text: str) -> None:
    assert words(ENGLISH(text)) == words(THEIR_ENGLISH(text))
    assert words(BASIC(text)) == words(THEIR_BASIC(text))


def test_whisper_basic_keeps_accents_and_breaks_words_at_apostrophes() -> None:
    # Welsh: the circumflex tells words apart (môr, sea; mor, so) and must stay; an apostrophe becomes a space.
    assert words(BASIC("Mae'r DŴR ym môr Cymru, ŷch chi?")) == ["mae", "r", "dŵr", "ym", "môr", "cymru", "ŷch", "chi"]
    assert words(BASIC("colour twenty-one")) == ["colour", "twenty", "one"]


def test_whisper_basic_sees_composed_and_decomposed_accents_alike() -> None:
    assert BASIC("mo\u0302r") == BASIC("m\u00f4r")


def test_whisper_english_drops_accents() -> None:
    assert words(ENGLISH("Dŵr, naïve")) == ["dwr", "naive"]


@given(text=st.text(max_size=30))
def test_none_compares_the_words_as_they_stand(text: str) -> None:
    assert NONE(text) == text


def test_every_name_has_a_normaliser() -> None:
    for name in NormalizerName:
        assert words(normalizer(name)("some text")) == ["some", "text"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mae’r tŷ, ‘hen iawn’!", "mae'r tŷ hen iawn"),  # noqa: RUF001
        ("MAE'R DŴR YN OER.", "mae'r dŵr yn oer"),
        ("Sw\u0302n y mo\u0302r", "sŵn y môr"),  # circumflexes as marks of their own
        ("'n ôl ’n ôl", "n ôl n ôl"),  # noqa: RUF001
        ("l’été—déjà passé…", "l'été déjà passé"),  # noqa: RUF001
        ("3.5 a 10,000 a 5.", "3.5 a 10,000 a 5"),
        ("हिन्दी में", "हिन्दी में"),
        ("ΟΔΥΣΣΕΎΣ", "οδυσσεύς"),
        ("well-known, co\u00adoperate", "well known cooperate"),
        ("... (!)", ""),
        ("ខ្ញុំ\u200bស្រឡាញ់", "ខ្ញុំ ស្រឡាញ់"),
    ],
)
def test_multilingual_keeps_what_words_are_made_of(text: str, expected: str) -> None:
    assert normalizer(NormalizerName.multilingual)(text) == expected


# Characters that Python's own table lacks are left out: the one of `regex` is newer.
@given(st.text(st.characters(exclude_categories=["Cn", "Cs"]), max_size=60))
def test_multilingual_is_settled_after_once(text: str) -> None:
    once = normalizer(NormalizerName.multilingual)(text)
    assert normalizer(NormalizerName.multilingual)(once) == once
    assert once == " ".join(once.split())
    assert not any(unicodedata.category(mark)[0] in "PSZC" for mark in once if mark not in "' .,")
