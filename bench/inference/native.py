"""transformers as its users run it (``decode.parity=native``): its speech recognition pipeline, by its own defaults."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import transformers
from transformers import MODEL_FOR_CTC_MAPPING, AutoModelForCTC, AutoModelForSpeechSeq2Seq, WhisperConfig

from bench.config import Config
from bench.inference.holdings import Holdings
from bench.inference.pretrained import load_extractor, load_model, load_tokenizer, read_settings
from bench.inference.watch import booked_as
from bench.inference.whisper_prompt import checked_choices
from bench.measure.clock import PhaseClock
from bench.readings import Footprint
from bench.records import Samples, Transcript, Window, Word


class PipelineEngine:
    """``transformers.pipeline`` on whole recordings, one after another.

    Of a model that generates text its defaults are five beams, and 256 tokens at most. Whisper sees 30 s, and the
    pipeline refuses more unless it is asked for times; longer recordings are transcribed with ``return_timestamps``,
    which is the walk of the model's own. The pipeline is told the language and the task, and nothing else. Features
    are computed within it, and booked under ``decode`` with all that is not the encoder.

    Args:
        config: The trial's configuration.
        model_path: Local folder or model-hub id; only safetensors weights are read, and no code of the model's own.

    Raises:
        ModelError: The model cannot be loaded.
        ConfigError: The model cannot honour ``decode.language`` or ``decode.task``.
    """

    align = 1
    mixes_lengths = True
    max_window_s = None

    def __init__(self, config: Config, model_path: str) -> None:
        settings = read_settings(config, model_path)
        classifies = type(settings) in MODEL_FOR_CTC_MAPPING
        model = load_model(AutoModelForCTC if classifies else AutoModelForSpeechSeq2Seq, config, model_path)
        self._choices = checked_choices(getattr(model, "generation_config", None), config.decode, config.model.name)
        self._extractor = load_extractor(config, model_path)
        self._pipeline: Any = transformers.pipeline(
            "automatic-speech-recognition",
            model=model,
            feature_extractor=self._extractor,
            tokenizer=load_tokenizer(config, model_path),
        )
        self._encoder = model if classifies else model.get_encoder()
        self._longest = self._extractor.n_samples if isinstance(settings, WhisperConfig) else None
        self.footprint: Footprint = Holdings(model).footprint

    @property
    def rate_hz(self) -> int:
        """Sampling rate of the feature extractor."""
        return int(self._extractor.sampling_rate)

    def features(self, batch: Sequence[Samples]) -> list[Samples]:
        """Leave recordings as they are: the pipeline computes features itself."""
        return [np.array(recording) for recording in batch]  # a copy: torch warns of arrays that are read-only

    def decode(self, inputs: list[Samples], clock: PhaseClock) -> list[str]:
        """Transcribe recordings one after another; the text of each."""
        with clock.phase("decode"), booked_as("encode", self._encoder, clock):
            return [self._text(recording) for recording in inputs]

    def join(self, emissions: Sequence[str], windows: Sequence[Window]) -> Transcript:
        """Take the text as it is."""
        text = "".join(emissions).strip()
        return Transcript(text, tuple(Word(word, 0) for word in text.split()), tuple(windows))

    def _text(self, recording: Samples) -> str:
        options: dict[str, Any] = {"generate_kwargs": dict(self._choices)} if self._choices else {}
        if self._longest is not None and len(recording) > self._longest:
            options["return_timestamps"] = True
        return str(self._pipeline(recording, **options)["text"])
