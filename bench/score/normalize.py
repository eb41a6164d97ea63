"""Named text normalisers, applied alike to reference and hypothesis."""

from collections.abc import Callable
from functools import cache

from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

from bench.config import NormalizerName

Normalizer = Callable[[str], str]


@cache
def normalizer(name: NormalizerName) -> Normalizer:
    """Return a normaliser.

    ``whisper_english`` and ``whisper_basic`` are those of OpenAI's Whisper (Radford et al. 2022, appendix C), the
    English one with its full spelling table; ``none`` compares the words as they stand.
    """
    match name:
        case NormalizerName.whisper_english:
            english: Normalizer = EnglishTextNormalizer()
            return english
        case NormalizerName.whisper_basic:
            basic: Normalizer = BasicTextNormalizer()
            return basic
        case NormalizerName.none:
            return str
