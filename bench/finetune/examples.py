"""Utterances as a model is trained on them: audio as its inputs, transcripts as its labels."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from bench.config import AugmentConfig
from bench.errors import DataError, ModelError
from bench.finetune.augment import augment
from bench.records import Samples

IGNORED = -100
"""Label of what counts for no loss, as torch and transformers have it."""

_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\u00b4`", "'"))


@dataclass(frozen=True)
class Example:
    """An utterance's samples, shape ``(samples,)``, and its labels."""

    samples: Samples
    labels: tuple[int, ...]


class Examples(Dataset[Example]):
    """Utterances to train on, their audio changed anew each time one is taken.

    Args:
        examples: Audio and labels.
        rate_hz: Samples a second.
        config: How audio is changed.
        seed: Seeds the changes.
    """

    def __init__(self, examples: Sequence[Example], rate_hz: int, config: AugmentConfig, seed: int) -> None:
        self._examples = examples
        self._rate_hz = rate_hz
        self._config = config
        self._seed = seed
        self._taken = [0] * len(examples)

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, number: int) -> Example:
        example = self._examples[number]
        generator = np.random.default_rng((self._seed, number, self._taken[number]))
        self._taken[number] += 1
        return Example(augment(example.samples, self._rate_hz, self._config, generator), example.labels)

    @property
    def lengths(self) -> list[int]:
        """Samples of each, as they are."""
        return [len(example.samples) for example in self._examples]


class Batches:
    """Makes examples into a batch of tensors, padded as the model's own extractor pads.

    Args:
        extractor: The model's feature extractor.
        main_input: Name of the model's first input: ``input_features`` or ``input_values``.
    """

    def __init__(self, extractor: Any, main_input: str) -> None:
        self._extractor = extractor
        self._main_input = main_input
        # A Whisper sees 30 s, whatever is said; its extractor pads to that by itself.
        self._padding = {} if hasattr(extractor, "chunk_length") else {"padding": True}
        # Where a model was trained without masks, they would change what it sees; see its preprocessor_config.json.
        masked = getattr(extractor, "return_attention_mask", None)
        self._asked = {"return_attention_mask": True} if masked is None or not self._padding else {}
        self._is_masked = masked is not False or not self._padding

    def __call__(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        """Make a batch: the model's inputs, and labels of shape ``(examples, longest)`` padded with :data:`IGNORED`."""
        # Copies, since torch warns of arrays that are read-only.
        made = self._extracted([np.array(example.samples) for example in examples])
        longest = max(len(example.labels) for example in examples)
        labels = torch.full((len(examples), longest), IGNORED)
        for row, example in enumerate(examples):
            labels[row, : len(example.labels)] = torch.tensor(example.labels)
        inputs = {name: made[name] for name in (self._main_input, "attention_mask") if name in made}
        return {**inputs, "labels": labels}

    def _extracted(self, samples: Sequence[Samples]) -> Mapping[str, torch.Tensor]:
        rate_hz = self._extractor.sampling_rate
        if not self._is_masked:
            # Without masks an extractor takes the padding for a part of what it normalises.
            alone = [self._extractor(one, sampling_rate=rate_hz, return_tensors="pt") for one in samples]
            rows = [each[self._main_input][0] for each in alone]
            return {self._main_input: pad_sequence(rows, batch_first=True)}
        made: Mapping[str, torch.Tensor] = self._extractor(
            samples, sampling_rate=rate_hz, return_tensors="pt", **self._padding, **self._asked
        )
        return made


def ctc_labels(text: str, tokenizer: Any) -> tuple[int, ...]:
    """Spell a transcript with a CTC model's letters.

    A letter that it lacks becomes the capital or the small one, or else loses its accents; punctuation that it lacks
    becomes a blank.

    Raises:
        DataError: There is a letter or a digit that it has no way to spell: it is said and would not be written.
    """
    vocabulary = set(tokenizer.get_vocab())
    if getattr(tokenizer, "word_delimiter_token", None) is None:
        return tuple(tokenizer(text).input_ids)
    if not any(unicodedata.combining(mark) for token in vocabulary for mark in token):
        text = unicodedata.normalize("NFC", text)  # an accent that follows its letter would be a mark of its own

    def spelled(mark: str) -> str:
        for form in (mark, mark.lower(), mark.upper()):
            for written in (form, _without_accents(form)):
                if written and all(part in vocabulary for part in written):
                    return written
        if mark.isalnum():
            raise DataError(f"a transcript with {mark!r}, which the model has no letters for; write it in words")
        return "" if unicodedata.combining(mark) else " "

    words = "".join(map(spelled, text.translate(_APOSTROPHES))).split()
    return tuple(tokenizer(" ".join(words)).input_ids)


def _without_accents(text: str) -> str:
    return "".join(part for part in unicodedata.normalize("NFKD", text) if not unicodedata.combining(part))


def seq2seq_labels(text: str, tokenizer: Any, start: int) -> tuple[int, ...]:
    """Write a transcript as a sequence-to-sequence model is to write it, its opening tokens and its end among them.

    Args:
        text: The transcript.
        tokenizer: Set up for its language and task, where it knows any.
        start: The token that opens the decoder's input; the model puts it there by itself.
    """
    labels = tuple(tokenizer(text.strip()).input_ids)
    if labels[:1] == (start,):
        labels = labels[1:]
    end = tokenizer.eos_token_id
    return labels if labels[-1:] == (end,) else (*labels, end)


def set_up(tokenizer: Any, settings: Any, language: str | None, task: str | None, name: str) -> None:
    """Have a multilingual tokenizer write the tokens of a language and a task.

    Raises:
        ModelError: The model is multilingual, and its language is not said.
    """
    if not getattr(settings, "is_multilingual", False):
        return
    if language is None:
        raise ModelError(f"{name} is multilingual, and must be told what it is trained on; add decode.language=CODE")
    tokenizer.set_prefix_tokens(language=language, task=task or "transcribe", predict_timestamps=False)
