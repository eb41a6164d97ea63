import subprocess
import sys

import pytest

from bench.score.language import languages_differ, likely_language

# Universal Declaration of Human Rights, article 1, as the United Nations publish it.
ARTICLE = {
    "en": "All human beings are born free and equal in dignity and rights. They are endowed with reason and conscience",
    "cy": "Genir pawb yn rhydd ac yn gydradd â'i gilydd mewn urddas a hawliau. Fe'u cynysgaeddir â rheswm a chydwybod",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen begabt",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison",
    "es": "Todos los seres humanos nacen libres e iguales en dignidad y derechos y, dotados como están de razón",
    "nl": "Alle mensen worden vrij en gelijk in waardigheid en rechten geboren. Zij zijn begiftigd met verstand",
    "ru": "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом и совестью",  # noqa: RUF001
    "zh": "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神相对待。",
    "ja": "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
}


@pytest.mark.parametrize("language", ARTICLE)
def test_languages_are_told_whatever_the_case_and_marks(language: str) -> None:
    text = ARTICLE[language]
    bare = "".join(sign for sign in text if sign not in ".,。、")
    assert {likely_language(one) for one in (text, bare, bare.lower(), bare.upper())} == {language}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "All human beings",  # too short
        "人人生而自由",  # 18 bytes
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15",
        "\ud800" * 20,
        # Croatian, and all but a letter of it Bosnian.
        "Sva ljudska bića rađaju se slobodna i jednaka u dostojanstvu i pravima.",
    ],
)
def test_what_cannot_be_told_is_null(text: str) -> None:
    assert likely_language(text) is None


def test_a_dialect_is_given_the_code_of_its_language() -> None:
    # Nigerian Pidgin (pcm) and Cantonese (yue), which ISO 639-1 has no codes for.
    assert likely_language("wetin dey happen for dis place today, una no go come chop") == "en"
    assert likely_language("我哋今日去咗茶餐廳食嘢,佢話好好食") == "zh"


def test_an_unknown_language_differs_from_none() -> None:
    assert languages_differ("en", "cy") is True
    assert languages_differ("en", "en") is False
    assert languages_differ(None, "en") is None
    assert languages_differ("en", None) is None


def test_the_model_is_loaded_on_first_use_and_not_before() -> None:
    script = (
        "import bench.score.degenerate; from bench.score.language import _identifier, likely_language;"
        "assert _identifier.cache_info().currsize == 0; likely_language('short');"
        "assert _identifier.cache_info().currsize == 0"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
