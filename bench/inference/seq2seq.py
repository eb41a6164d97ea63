"""Whisper-style models on torch, through transformers' own ``generate``."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import transformers
from transformers import AutoConfig, WhisperForConditionalGeneration, WhisperProcessor

from bench.config import Config
from bench.errors import ConfigError, ModelError
from bench.inference.merge import TimedTokens, TimestampJoiner, join_overlapping
from bench.measure.clock import PhaseClock
from bench.records import Samples, Window


class WhisperEngine:
    """A Whisper checkpoint on its device, ready to decode.

    Args:
        config: The trial's configuration.
        model_path: Local folder or model-hub id; only safetensors weights are read, and no code of the model's own.

    Raises:
        ModelError: The model cannot be loaded, or is of a family that is not supported.
        ConfigError: The model cannot honour ``decode.language`` or ``decode.task``.
    """

    align = 1

    def __init__(self, config: Config, model_path: str) -> None:
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self._decode = config.decode
        self._device = torch.device(config.device)
        self._dtype: torch.dtype = getattr(torch, config.model.dtype.value)
        self._model, self._processor = self._load(config, model_path)
        self._features = self._processor.feature_extractor
        self._tokenizer = self._processor.tokenizer
        self._special = frozenset(self._tokenizer.all_special_ids)
        self._generate_options = self._checked_options(config)

    @property
    def rate_hz(self) -> int:
        """Sampling rate of the feature extractor."""
        return int(self._features.sampling_rate)

    @property
    def max_window_s(self) -> float:
        """Length of the model's input; the feature extractor would cut off the rest without a word."""
        return float(self._features.chunk_length)

    def decode(self, batch: Sequence[Samples], clock: PhaseClock) -> list[list[int]]:
        """Return the token ids of each window, special tokens removed."""
        with clock.phase("features"):
            inputs = self._features(
                list(batch), sampling_rate=self.rate_hz, return_tensors="pt", return_attention_mask=True
            ).to(self._device, dtype=self._dtype)
        with clock.phase("decode"), torch.inference_mode(), _booked_as("encode", self._model.get_encoder(), clock):
            tokens = self._model.generate(**inputs, **self._generate_options).tolist()
        return [[token for token in sequence if token not in self._special] for sequence in tokens]

    def join(self, emissions: Sequence[list[int]], windows: Sequence[Window]) -> str:
        """Join the windows as the pipeline does; see :mod:`bench.inference.merge`."""
        segments = self._join_timed(emissions, windows) if self._decode.timestamps else [join_overlapping(emissions)]
        return "".join(self._tokenizer.decode(segment) for segment in segments).strip()

    def _join_timed(self, emissions: Sequence[list[int]], windows: Sequence[Window]) -> list[list[int]]:
        timed = [
            TimedTokens(
                tokens,
                (window.stop - window.start) / self.rate_hz,
                window.left / self.rate_hz,
                window.right / self.rate_hz,
            )
            for tokens, window in zip(emissions, windows, strict=True)
        ]
        first_time_token = self._tokenizer.convert_tokens_to_ids("<|notimestamps|>") + 1
        time_step_s = self.max_window_s / self._model.config.max_source_positions
        return TimestampJoiner(first_time_token, time_step_s, self.max_window_s).join(timed)

    def _load(self, config: Config, model_path: str) -> tuple[Any, Any]:
        name = config.model.name
        try:
            family = AutoConfig.from_pretrained(model_path, trust_remote_code=False).model_type
            if family != "whisper":
                raise ModelError(
                    f"model.name={name} is of the family {family!r}; only Whisper checkpoints are supported so far"
                )
            model = WhisperForConditionalGeneration.from_pretrained(
                model_path,
                dtype=self._dtype,
                attn_implementation=config.model.attention.value,
                use_safetensors=True,
            )
            processor = WhisperProcessor.from_pretrained(model_path)
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise ModelError(
                f"model.name={name} cannot be loaded ({reason}); give a local folder with safetensors weights,"
                " a model-hub id this machine can reach, or model=whisper_tiny_en for the packaged one"
            ) from error
        return model.to(self._device).eval(), processor

    def _checked_options(self, config: Config) -> dict[str, Any]:
        decode = config.decode
        given = {key: value for key in ("language", "task") if (value := getattr(decode, key)) is not None}
        if given and not getattr(self._model.generation_config, "is_multilingual", False):
            settings = " and ".join(f"decode.{key}={value}" for key, value in given.items())
            cure = " ".join(f"decode.{key}=null" for key in given)
            raise ConfigError(f"{config.model.name} knows one language only and cannot honour {settings}; use {cure}")
        known = getattr(self._model.generation_config, "lang_to_id", None) or {}
        if decode.language is not None and f"<|{decode.language}|>" not in known:
            codes = ", ".join(sorted(token.strip("<|>") for token in known))
            raise ConfigError(
                f"decode.language={decode.language} is unknown to {config.model.name}; use one of {codes}"
            )
        return {"num_beams": decode.num_beams, "return_timestamps": decode.timestamps, **given}


@contextmanager
def _booked_as(phase: str, module: torch.nn.Module, clock: PhaseClock) -> Iterator[None]:
    """Within a ``with`` block, book every forward pass of a module under a phase of its own."""
    hooks = [
        module.register_forward_pre_hook(lambda *_: clock.enter(phase)),
        module.register_forward_hook(lambda *_: clock.leave()),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
