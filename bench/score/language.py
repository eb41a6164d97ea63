"""Which language a text is written in, by a small model that needs no network."""

from functools import cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier

LEAST_CONFIDENCE = 0.9
"""Probability a language needs. Of 3,800 pieces of English speech of 20 to 100 characters, up to a quarter of them
changed at random, none was taken for another language with more than this."""

LEAST_BYTES = 20
"""UTF-8 length a text needs: four English words, or seven Chinese characters."""


def likely_language(text: str) -> str | None:
    """Identify the language of a text.

    By py3langid: naive Bayes over byte n-grams (Lui and Baldwin 2012, "langid.py: An Off-the-shelf Language
    Identification Tool"), retrained. Its model comes with the package and is a numpy file read without pickle; loading
    it takes half a second and 80 MB, once a process, so it is loaded only after memory was measured.

    Returns:
        Its ISO 639-1 code; null for a short text, or one that several languages could claim (as many Croatian,
        Bosnian and Serbian texts).
    """
    if len(text.encode("utf-8", "replace")) < LEAST_BYTES:
        return None
    language, confidence = _identifier().classify(text)
    return str(language) if confidence >= LEAST_CONFIDENCE else None


def languages_differ(one: str | None, other: str | None) -> bool | None:
    """Tell whether two texts are in different languages; null where either is not known."""
    return None if one is None or other is None else one != other


@cache
def _identifier() -> LanguageIdentifier:
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    # Codes of three letters are dialects and old languages: their texts go to the nearest one that has two.
    identifier.set_languages([language for language in identifier.labels if len(language) == 2])
    return identifier
