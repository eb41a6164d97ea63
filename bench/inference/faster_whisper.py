"""The engine ``faster_whisper``: Whisper models under CTranslate2.

With ``decode.parity=locked`` windows, features, prompts and joining are those of the other engines, and CTranslate2
encodes and decodes. With ``decode.parity=native`` faster-whisper transcribes whole recordings by its own defaults.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.config import Config, Merge, Parity
from bench.errors import ModelError
from bench.inference.ctranslate2_model import memory_errors, weights_mib, whisper_model
from bench.inference.engine import Engine
from bench.inference.pieces import UNSPACED
from bench.inference.spectrogram import log_mel
from bench.inference.whisper_prompt import Prompt
from bench.inference.whisper_text import Said, Writer
from bench.measure.clock import PhaseClock
from bench.readings import Footprint
from bench.records import Samples, Transcript, Window

_MIB = 1024 * 1024

# Whisper's (OpenAI's whisper/audio.py and whisper/model.py); CTranslate2's folders do not tell them.
_WINDOW_S = 30.0
_TIME_STEP_S = 0.02
_MOST_TOKENS = 448
_FRAME_S = 0.02
_TASKS = ("transcribe", "translate")


def load(config: Config, model_path: str) -> Engine:
    """Load the model of a configuration.

    Args:
        config: The trial's configuration.
        model_path: A folder in CTranslate2's format.

    Raises:
        AssetError: faster-whisper is not installed.
        ModelError: The model cannot be loaded, or is no Whisper model.
        ConfigError: The model cannot honour ``decode.language`` or ``decode.task``.
    """
    if config.decode.parity is Parity.native:
        from bench.inference.faster_whisper_native import NativeEngine

        return NativeEngine(config, model_path)
    return CTranslate2Engine(config, model_path)


@dataclass(frozen=True)
class Inputs:
    """A batch as CTranslate2 takes it: log-mel spectrograms, ``(windows, bins, rows)``, and rows that hold audio."""

    features: NDArray[np.float32]
    rows: tuple[int, ...]


class CTranslate2Engine:
    """A Whisper model under CTranslate2, decoding the core's windows.

    Encoding is booked as such, all that ``generate`` does as decoding, and what tells when words were said as aligning.

    Args:
        config: The trial's configuration.
        model_path: A folder in CTranslate2's format.

    Raises:
        AssetError: faster-whisper is not installed.
        ModelError: The model cannot be loaded, or is no Whisper model.
        ConfigError: The model cannot honour ``decode.language`` or ``decode.task``.
    """

    align = 1
    mixes_lengths = True
    max_window_s = _WINDOW_S

    def __init__(self, config: Config, model_path: str) -> None:
        from transformers import PreTrainedTokenizerFast, WhisperFeatureExtractor

        self._beams = config.decode.num_beams
        self._tells_times = config.decode.merge is Merge.aligned
        whisper = whisper_model(config, model_path)
        self._model = whisper.model
        self._extractor = WhisperFeatureExtractor(feature_size=self._model.n_mels)
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(Path(model_path) / "tokenizer.json"), clean_up_tokenization_spaces=False
        )
        codes = whisper.supported_languages if self._model.is_multilingual else []
        settings = _settings(tokenizer, codes, config.model.name)
        self._prompt = Prompt.of(settings, config.decode, config.model.name)
        self._languages: dict[str, int] = settings.lang_to_id
        self._special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
        first_time_token = settings.no_timestamps_token_id + 1
        self._is_text = lambda token: token < first_time_token and token not in self._special
        self._writer = Writer(tokenizer, config.decode, self.rate_hz, first_time_token, _TIME_STEP_S, self.max_window_s)
        self.footprint = Footprint(weights_mib=weights_mib(Path(model_path), config.model.dtype))

    @property
    def rate_hz(self) -> int:
        """Sampling rate of the feature extractor."""
        return int(self._extractor.sampling_rate)

    def features(self, batch: Sequence[Samples]) -> Inputs:
        """Log-mel spectrograms, padded to the model's window: those that ``engine=transformers`` computes."""
        return Inputs(*log_mel(self._extractor, batch))

    def decode(self, inputs: Inputs, clock: PhaseClock) -> list[Said]:
        """Return what was said in each window."""
        from ctranslate2 import StorageView

        self._saw(inputs)
        with memory_errors():
            with clock.phase("encode"):
                encoded = self._model.encode(StorageView.from_array(inputs.features))
            with clock.phase("decode"):
                prompts = self._prompts(encoded, len(inputs.rows))
                results = self._model.generate(
                    encoded,
                    prompts,
                    beam_size=self._beams,
                    # It allows half of this for the text; together with the prompt that is all the model has room for.
                    max_length=2 * (_MOST_TOKENS - len(prompts[0])),
                )
                texts = [list(filter(self._is_text, result.sequences_ids[0])) for result in results]
            starts: list[NDArray[np.float64] | None] = [None] * len(texts)
            if self._tells_times:
                with clock.phase("align"):
                    starts = self._starts_s(encoded, prompts, texts, inputs.rows)
        return [Said(*each) for each in zip(texts, starts, self._spaced(prompts), strict=True)]

    def join(self, emissions: Sequence[Said], windows: Sequence[Window]) -> Transcript:
        """Join the windows; see :mod:`bench.inference.merge` and :mod:`bench.inference.aligned`."""
        return self._writer.join(emissions, windows)

    def _prompts(self, encoded: Any, count: int) -> list[list[int]]:
        if not self._prompt.languages:
            return [self._prompt.tokens()] * count
        detected = self._model.detect_language(encoded)
        return [self._prompt.tokens(self._languages[ranked[0][0]]) for ranked in detected]

    def _starts_s(
        self, encoded: Any, prompts: Sequence[list[int]], texts: Sequence[list[int]], rows: Sequence[int]
    ) -> list[NDArray[np.float64] | None]:
        """Start of each token and end of the last, in seconds from the start of the window.

        CTranslate2 averages the heads that follow the speech and finds the cheapest path, as OpenAI's
        ``whisper/timing.py`` does (:mod:`bench.inference.token_times`). It reads one prompt for all windows, so those
        of each language go together.
        """
        starts: list[NDArray[np.float64] | None] = [None] * len(texts)
        groups: dict[tuple[int, ...], list[int]] = {}
        for window, prompt in enumerate(prompts):
            groups.setdefault(tuple(prompt[:-1]), []).append(window)  # it adds the token of "no times" itself
        for start, windows in groups.items():
            most = _MOST_TOKENS - len(start) - 2
            results = self._model.align(
                encoded if len(groups) == 1 else _part(encoded, windows),
                list(start),
                [texts[window][:most] for window in windows],
                [rows[window] for window in windows],
            )
            for window, result in zip(windows, results, strict=True):
                tokens, frames = np.array(result.alignments).T
                firsts = frames[np.flatnonzero(np.diff(tokens, prepend=-1))]
                lacking = len(texts[window]) + 1 - len(firsts)
                starts[window] = np.pad(firsts, (0, lacking), mode="edge").astype(np.float64) * _FRAME_S
        return starts

    def _spaced(self, prompts: Sequence[list[int]]) -> list[bool]:
        """Whether the language of each window puts blanks between words, by the prompt's language token."""
        unspaced = {number for name, number in self._languages.items() if name.strip("<|>") in UNSPACED}
        return [unspaced.isdisjoint(prompt) for prompt in prompts]

    def _saw(self, inputs: Inputs) -> None:
        most = max(self.footprint.features_mib or 0.0, inputs.features.nbytes / _MIB)
        self.footprint = Footprint(self.footprint.weights_mib, most)


def _settings(tokenizer: Any, codes: Sequence[str], name: str) -> SimpleNamespace:
    """What transformers would have in ``generation_config``, from the tokens' names.

    Args:
        tokenizer: The model's tokenizer.
        codes: Languages to look for; none for a model of one language.
        name: The model's name, for messages.
    """

    def number(token: str) -> int:
        found = tokenizer.convert_tokens_to_ids(token)
        if found is None:
            raise ModelError(f"model.name={name}: its tokenizer.json lacks {token}; give a Whisper model's folder")
        return int(found)

    tokens = [token for code in codes if (token := f"<|{code}|>") in tokenizer.get_vocab()]
    return SimpleNamespace(
        decoder_start_token_id=number("<|startoftranscript|>"),
        no_timestamps_token_id=number("<|notimestamps|>"),
        is_multilingual=bool(tokens),
        lang_to_id={token: number(token) for token in tokens},
        task_to_id={task: number(f"<|{task}|>") for task in _TASKS} if tokens else {},
    )


def _part(encoded: Any, windows: Sequence[int]) -> Any:
    """Take some windows of what was encoded."""
    from ctranslate2 import Device, StorageView

    on_cpu = np.array(encoded if encoded.device == "cpu" else encoded.to_device(Device.cpu))
    return StorageView.from_array(np.ascontiguousarray(on_cpu[list(windows)]))
