"""faster-whisper as its users run it (``decode.parity=native``)."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bench.config import Config
from bench.inference.ctranslate2_model import memory_errors, weights_mib, whisper_model
from bench.inference.whisper_prompt import checked_choices
from bench.measure.clock import PhaseClock
from bench.readings import Footprint
from bench.records import Samples, Transcript, Window, Word


class NativeEngine:
    """faster-whisper as its users run it: ``WhisperModel.transcribe`` on whole recordings, by its own defaults.

    Those are five beams, temperature fallback, segment times, the text so far as a prompt, and no detection of silence.
    It is told the language and the task, and nothing else. Its segments have times, their words have none.

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
    max_window_s = None

    def __init__(self, config: Config, model_path: str) -> None:
        self._whisper = whisper_model(config, model_path)
        known = {f"<|{code}|>": code for code in self._whisper.supported_languages}
        settings = SimpleNamespace(is_multilingual=self._whisper.model.is_multilingual, lang_to_id=known)
        self._choices = checked_choices(settings, config.decode, config.model.name)
        self._extract, self._encode = self._whisper.feature_extractor, self._whisper.encode
        self.footprint = Footprint(weights_mib=weights_mib(Path(model_path), config.model.dtype))

    @property
    def rate_hz(self) -> int:
        """Sampling rate of its feature extractor."""
        return int(self._whisper.feature_extractor.sampling_rate)

    def features(self, batch: Sequence[Samples]) -> list[Samples]:
        """Leave recordings as they are: it computes features itself."""
        return list(batch)

    def decode(self, inputs: list[Samples], clock: PhaseClock) -> list[str]:
        """Transcribe recordings one after another; the text of each."""
        self._whisper.feature_extractor = _Booked(self._extract, "features", clock)
        self._whisper.encode = _Booked(self._encode, "encode", clock)
        with clock.phase("decode"), memory_errors():
            return ["".join(one.text for one in self._whisper.transcribe(each, **self._choices)[0]) for each in inputs]

    def join(self, emissions: Sequence[str], windows: Sequence[Window]) -> Transcript:
        """Take the text as it is."""
        text = "".join(emissions).strip()
        return Transcript(text, tuple(Word(word, 0) for word in text.split()), tuple(windows))


class _Booked:
    """A callable whose calls are booked under a phase; what else it has is passed on."""

    def __init__(self, inner: Callable[..., Any], phase: str, clock: PhaseClock) -> None:
        self._inner, self._phase, self._clock = inner, phase, clock

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        with self._clock.phase(self._phase):
            return self._inner(*arguments, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
