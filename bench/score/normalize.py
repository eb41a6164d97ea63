"""Named text normalisers, applied alike to reference and hypothesis."""

import unicodedata
from collections.abc import Callable
from functools import cache

import regex
from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

from bench.config import NormalizerName

Normalizer = Callable[[str], str]


@cache
def normalizer(name: NormalizerName) -> Normalizer:
    """Return a normaliser.

    ``whisper_english`` and ``whisper_basic`` are those of OpenAI's Whisper (Radford et al. 2022, appendix C), the
    English one with its full spelling table; ``multilingual`` is :func:`multilingual`; ``none`` compares the words as
    they stand.
    """
    match name:
        case NormalizerName.whisper_english:
            english: Normalizer = EnglishTextNormalizer()
            return english
        case NormalizerName.whisper_basic:
            basic: Normalizer = BasicTextNormalizer()
            return basic
        case NormalizerName.multilingual:
            return multilingual
        case NormalizerName.none:
            return str


# Typists and keyboards differ in which of these they use: modifier letter, quotation marks, prime, accents, full width.
_APOSTROPHES = str.maketrans(dict.fromkeys("\u02bc\u2018\u2019\u201b\u2032\u00b4\u0060\uff07", "'"))
_WORD_BORDER = "\u200b"  # a blank of no width, which scripts without blanks put between words
_INVISIBLE = regex.compile(r"\p{Cf}+")  # soft hyphens, joiners, marks of direction
_KEPT_WITHIN = r"(?<=[\p{L}\p{M}\p{N}])'(?=[\p{L}\p{M}\p{N}])|(?<=\p{N})[.,](?=\p{N})"
_BETWEEN_WORDS = regex.compile(rf"(?:(?!{_KEPT_WITHIN})[^\p{{L}}\p{{M}}\p{{N}}])+")


def multilingual(text: str) -> str:
    """Normalise text of any language that is written with letters.

    Case and punctuation go; accents and other marks stay, composed (Unicode's normal form C), and so do apostrophes
    between letters, all written alike (``mae'r``), and points and commas between digits. Whisper's basic
    normaliser cuts words at apostrophes and at marks that it cannot compose.
    """
    lowered = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())
    visible = _INVISIBLE.sub("", lowered.replace(_WORD_BORDER, " ")).translate(_APOSTROPHES)
    normalized: str = _BETWEEN_WORDS.sub(" ", visible).strip()
    return normalized
