"""What every text of Whisper starts with: the language, the task, and whether times are told."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

from bench.config import DecodeConfig
from bench.errors import ConfigError


@dataclass(frozen=True)
class Prompt:
    """Tokens that come before a text, as transformers' ``generate`` chooses them.

    Attributes:
        start: The first.
        language: The one of the language; null where the model has none, or finds out what it hears.
        languages: Those to choose from where the model finds out; otherwise none.
        rest: Those after the language.
    """

    start: int
    language: int | None
    languages: tuple[int, ...]
    rest: tuple[int, ...]

    @classmethod
    def of(
        cls, settings: Any, decode: DecodeConfig, name: str, forced: Sequence[Sequence[int | None]] = ()
    ) -> "Prompt":
        """Find the tokens that a model's settings, and the user's, ask for.

        Args:
            settings: The model's ``generation_config``, or what has its attributes.
            decode: The user's settings.
            name: The model's name, for messages.
            forced: Pairs of a place and a token, as the model's own configuration lists them where an older
                checkpoint's ``generation_config`` does not; a null token is a language to be detected.

        Raises:
            ConfigError: The model cannot honour ``decode.language`` or ``decode.task``.
        """
        given = checked_choices(settings, decode, name)
        known: dict[str, int] = getattr(settings, "lang_to_id", None) or {}
        language, task = (given.get(key) or getattr(settings, key, None) for key in ("language", "task"))
        listed = getattr(settings, "forced_decoder_ids", None) or forced
        tokens = [token for _, token in listed if token != settings.no_timestamps_token_id]
        if language or task:
            tokens = []
        last = () if decode.timestamps else (int(settings.no_timestamps_token_id),)
        start = int(settings.decoder_start_token_id)
        if not (known and getattr(settings, "is_multilingual", True)):
            return cls(start, None, (), (*(token for token in tokens if token is not None), *last))
        first, second, *_ = [*tokens, None, None]
        if first is None and language:  # a code, or in a checkpoint's own settings also a name or a token
            named = language.lower().strip("<|>")
            first = known[f"<|{TO_LANGUAGE_CODE.get(named, named)}|>"]
        detected = tuple(sorted(known.values())) if first is None else ()
        return cls(start, first, detected, (second or settings.task_to_id[task or "transcribe"], *last))

    def tokens(self, detected: int | None = None) -> list[int]:
        """List the tokens; ``detected`` is the language of a window, where the model found it out."""
        language = self.language if detected is None else detected
        return [self.start, *([] if language is None else [language]), *self.rest]


def checked_choices(settings: Any, decode: DecodeConfig, name: str) -> dict[str, str]:
    """Return the language and the task that the user gave, under their names.

    Raises:
        ConfigError: The model cannot honour them.
    """
    given = {key: value for key in ("language", "task") if (value := getattr(decode, key)) is not None}
    if given and not getattr(settings, "is_multilingual", False):
        asked = " and ".join(f"decode.{key}={value}" for key, value in given.items())
        cure = " ".join(f"decode.{key}=null" for key in given)
        raise ConfigError(f"{name} knows one language only and cannot honour {asked}; use {cure}")
    known = getattr(settings, "lang_to_id", None) or {}
    if decode.language is not None and f"<|{decode.language}|>" not in known:
        codes = ", ".join(sorted(token.strip("<|>") for token in known))
        raise ConfigError(f"decode.language={decode.language} is unknown to {name}; use one of {codes}")
    return given
