"""Speech-to-text models other than Whisper (Moonshine, ...) on torch, through the library's ``generate``."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForSpeechSeq2Seq

from bench.config import Config, Merge, Strategy, Weights
from bench.errors import ConfigError, ImpossiblePoint
from bench.inference.aligned import join_aligned
from bench.inference.holdings import Holdings
from bench.inference.pieces import spread
from bench.inference.pretrained import RANDOM_TOKENS_PER_S, load_extractor, load_model, load_tokenizer
from bench.inference.watch import booked_as
from bench.measure.clock import PhaseClock
from bench.readings import Footprint
from bench.records import Samples, Transcript, Window, Word

# Shorter windows are lengthened by silence: Moonshine's convolutions take 56 ms at once, a spectrogram's row 25 ms.
_SHORTEST_S = 0.1


class Seq2SeqEngine:
    """A speech-to-text checkpoint on its device.

    Such models read a window as long as it is; nothing is padded. They tell no times, so ``decode.merge=aligned`` goes
    by where words would stand if they were spoken evenly. ``decode.merge=pipeline`` writes the windows one after the
    other, overlap and all, as transformers' pipeline does for these models.

    Args:
        config: The trial's configuration.
        model_path: Local folder or model-hub id; only safetensors weights are read, and no code of the model's own.

    Raises:
        ModelError: The model cannot be loaded.
        ConfigError: The model cannot honour a setting.
        ImpossiblePoint: ``decode.strategy=sequential``; these models have no long-form algorithm.
    """

    max_window_s = None
    mixes_lengths = False  # Moonshine's first norm runs over all of a window, so padding would change its output

    def __init__(self, config: Config, model_path: str) -> None:
        _refuse_what_is_whispers_own(config)
        self._decode = config.decode
        self._random = config.model.weights is Weights.random
        self._device = torch.device(config.device)
        self._model = load_model(AutoModelForSpeechSeq2Seq, config, model_path)
        self._holdings = Holdings(self._model)
        self._extractor = load_extractor(config, model_path)
        self._tokenizer = None if self._random else load_tokenizer(config, model_path)
        if config.model.compile:
            self._model.get_encoder().compile()

    @property
    def rate_hz(self) -> int:
        """Sampling rate of the feature extractor."""
        return int(self._extractor.sampling_rate)

    @property
    def align(self) -> int:
        """Samples by which the pipeline aligns windows."""
        return int(getattr(self._model.config, "inputs_to_logits_ratio", 1))

    @property
    def footprint(self) -> Footprint:
        """What its memory is for."""
        return self._holdings.footprint

    def features(self, batch: Sequence[Samples]) -> dict[str, Tensor]:
        """The model's inputs, their attention mask, and their seconds; the windows are of equal length."""
        length = max(map(len, batch))
        lacking = max(0, round(_SHORTEST_S * self.rate_hz) - length)
        made = self._extractor(
            [np.pad(window, (0, lacking)) for window in batch],  # a copy: torch warns of arrays that are read-only
            sampling_rate=self.rate_hz,
            return_tensors="pt",
            return_attention_mask=True,
        )
        inputs = {name: made[name] for name in (self._model.main_input_name, "attention_mask") if name in made}
        return {**inputs, "seconds": torch.tensor(length / self.rate_hz)}

    @torch.inference_mode()
    def decode(self, inputs: dict[str, Tensor], clock: PhaseClock) -> list[list[int]]:
        """Return the token ids of each window, special ones among them."""
        main = self._model.main_input_name
        values = inputs[main].to(self._device, self._model.dtype)
        self._holdings.saw_features([values])
        mask = inputs["attention_mask"].to(self._device) if "attention_mask" in inputs else None
        options: dict[str, Any] = {"num_beams": self._decode.num_beams}
        if self._random:
            count = max(1, round(float(inputs["seconds"]) * RANDOM_TOKENS_PER_S))
            options |= {"min_new_tokens": count, "max_new_tokens": count}
        with clock.phase("decode"), booked_as("encode", self._model.get_encoder(), clock):
            tokens: list[list[int]] = self._model.generate(**{main: values}, attention_mask=mask, **options).tolist()
        return tokens

    def join(self, emissions: Sequence[list[int]], windows: Sequence[Window]) -> Transcript:
        """Join the windows; see the class."""
        if self._tokenizer is None:
            return Transcript("", (), tuple(windows))
        texts = [str(self._tokenizer.decode(tokens, skip_special_tokens=True)) for tokens in emissions]
        if self._decode.merge is Merge.pipeline:
            every = [token for tokens in emissions for token in tokens]
            text = str(self._tokenizer.decode(every, skip_special_tokens=True))
            words = [Word(word, number) for number, each in enumerate(texts) for word in each.split()]
            return Transcript(text, tuple(words), tuple(windows))
        pieces = [
            spread(each.split(), number, window.start / self.rate_hz, window.stop / self.rate_hz)
            for number, (each, window) in enumerate(zip(texts, windows, strict=True))
        ]
        words = [Word(piece.text, piece.window) for piece in join_aligned(pieces, windows, self.rate_hz)]
        return Transcript(" ".join(word.text for word in words), tuple(words), tuple(windows))


def _refuse_what_is_whispers_own(config: Config) -> None:
    decode, name = config.decode, config.model.name
    if decode.strategy is Strategy.sequential:
        raise ImpossiblePoint(
            f"{name} has no long-form algorithm of its own; use decode.strategy=chunked or decode.strategy=vad"
        )
    for setting, cure in (
        ("timestamps", "false"),
        ("temperature_fallback", "false"),
        ("language", "null"),
        ("task", "null"),
    ):
        if getattr(decode, setting):
            raise ConfigError(
                f"decode.{setting}={getattr(decode, setting)} is for Whisper models, and {name} is of another family;"
                f" use decode.{setting}={cure}"
            )
