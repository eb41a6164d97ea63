"""What a model is given in place of a recording, made by the model's own feature extractor."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.assets.models import locate
from bench.config import Config, ModelConfig, Weights
from bench.errors import ConfigError, ModelError
from bench.inference.pretrained import load_extractor, read_settings
from bench.records import Samples

_SHORTEST_HOP = 16  # a millisecond at 16 kHz; a window of 30 s is then 30,000 frames
_ROUNDING = 1e-9
_FRAME_S = 0.025  # what extractors look at for one frame, where they do not say


@dataclass(frozen=True, eq=False)
class Heard:
    """A span as a model is given it.

    Attributes:
        hop_length: Samples between frames; null where the model is given the waveform itself.
        values: Features of shape ``(bands, frames)``, of audio alone, or the waveform, shape ``(samples,)``.
        padding: Frames that the extractor adds up to the length of the model's window; waveforms get none.
        first: Sample on which the first frame is centred.
    """

    hop_length: int | None
    values: NDArray[np.float32]
    padding: int
    first: float = 0.0

    @property
    def frames(self) -> int:
        """Number of frames, or of samples, that are audio."""
        return len(self.values.T)


class Frontend:
    """A model's feature extractor, and the configuration of the model behind it.

    Args:
        name: As ``model.name``.

    Raises:
        ModelError: The model's files cannot be had or read.
        AssetError: A packaged model cannot be had.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        # Features need no weights, so none are fetched.
        config = Config(model=ModelConfig(name=name, weights=Weights.random))
        folder = str(locate(name, Weights.random).folder)
        self.settings = read_settings(config, folder)
        self._extractor = load_extractor(config, folder)

    @property
    def rate_hz(self) -> int:
        """Sampling rate that the model takes."""
        return int(self._extractor.sampling_rate)

    @property
    def window_s(self) -> float | None:
        """Length in seconds that every input is padded to, and the longest there is; null where inputs vary."""
        length: float | None = getattr(self._extractor, "chunk_length", None)
        return length

    @property
    def reads_waveform(self) -> bool:
        """Whether the model is given samples instead of a spectrogram."""
        return bool(self._extractor.model_input_names[0] == "input_values")

    @property
    def is_normalized(self) -> bool:
        """Whether the waveform is brought to zero mean and unit variance."""
        return bool(getattr(self._extractor, "do_normalize", False))

    @property
    def hop_length(self) -> int | None:
        """Samples between the frames the model was trained on; null for a model of waveforms.

        An extractor that does not tell has Kaldi's 10 ms built in.
        """
        if self.reads_waveform:
            return None
        return int(getattr(self._extractor, "hop_length", self.rate_hz // 100))

    @property
    def rows_per_input(self) -> int:
        """Frames that the extractor stacks to one row of the model's input."""
        return int(getattr(self._extractor, "stride", 1))

    def checked(self, hop_length: int) -> int:
        """Return a hop length that this model can be shown at.

        Raises:
            ConfigError: It cannot, and why.
        """
        asked = f"--hop-length {hop_length}"
        if self.reads_waveform:
            raise ConfigError(
                f"{asked}: {self.name} reads the waveform itself, and its frames come from the strides of its trained"
                " convolutions, so it has no hop length to change; leave --hop-length out"
            )
        if not hasattr(self._extractor, "hop_length") and hop_length != self.hop_length:
            raise ConfigError(
                f"{asked}: the feature extractor of {self.name} has its hop of {self.hop_length} samples built in;"
                " leave --hop-length out"
            )
        if not _SHORTEST_HOP <= hop_length <= self._frame_length:
            raise ConfigError(
                f"{asked} is not between {_SHORTEST_HOP} and {self._frame_length}: less shows nothing more, and beyond"
                f" the {self._frame_length} samples of a frame, frames would leave sound out; give one within"
            )
        return hop_length

    def hear(self, samples: Samples, hop_length: int | None) -> Heard:
        """Give samples to the feature extractor as the engines do, as one window.

        Args:
            samples: Mono samples at :attr:`rate_hz`, no longer than :attr:`window_s`.
            hop_length: Samples between frames; null for a model of waveforms.

        Raises:
            ModelError: The extractor does not tell its padding.
        """
        made = self._built(hop_length)(
            np.array(samples),  # a copy: torch warns of arrays that cannot be written to
            sampling_rate=self.rate_hz,
            return_tensors="np",
            return_attention_mask=True,
        )
        values = np.asarray(made[self._extractor.model_input_names[0]][0], dtype=np.float32)
        if hop_length is None:
            return Heard(None, values, 0)
        if "attention_mask" not in made:
            raise ModelError(
                f"the feature extractor of {self.name} does not tell sound from padding; name another model"
            )
        mask = made["attention_mask"][0]
        if len(values) != len(mask):  # Whisper has the bands first, the others the time
            values = values.T
        stacked = self.rows_per_input
        values = values.reshape(len(values) * stacked, -1)
        frames = int(mask.sum()) * stacked
        return Heard(hop_length, values[:frames].T, len(values) - frames, self._first(len(samples), frames, hop_length))

    def band_centres_hz(self, bands: int) -> NDArray[np.float64] | None:
        """Frequency at the middle of each mel band: the centroid of its filter.

        Args:
            bands: Number of bands.

        Returns:
            Shape ``(bands,)``, never falling; null where the extractor does not show its filters.
        """
        if not hasattr(self._extractor, "mel_filters"):
            return None
        filters = np.asarray(self._extractor.mel_filters, dtype=np.float64)
        filters = filters if filters.shape[1] == bands else filters.T
        frequencies_hz = np.linspace(0, self.rate_hz / 2, len(filters))
        weights = filters.sum(axis=0)
        # Where there are many bands, some of the lowest lie between two bins and hold nothing but rounding.
        filled = np.flatnonzero(weights > _ROUNDING * weights.max())
        centres_hz = np.interp(np.arange(bands), filled, frequencies_hz @ filters[:, filled] / weights[filled])
        rising: NDArray[np.float64] = np.maximum.accumulate(centres_hz)
        return rising

    def _built(self, hop_length: int | None) -> Any:
        """Build the extractor with a hop length, from the settings of the model's own."""
        if hop_length == self.hop_length:
            return self._extractor
        return type(self._extractor)(**{**self._extractor.to_dict(), "hop_length": hop_length})

    @property
    def _frame_length(self) -> int:
        extractor = self._extractor
        length = getattr(extractor, "win_length", None) or getattr(extractor, "n_fft", None)
        return int(length or _FRAME_S * self.rate_hz)

    def _first(self, samples: int, frames: int, hop_length: int) -> float:
        """Find the sample on which the first frame is centred.

        Extractors either pad both ends by half a frame and centre the first on the first sample, or, like Kaldi, begin
        it there; then fewer frames fit.
        """
        begins_there = frames <= (samples - self._frame_length) // hop_length + 1
        return self._frame_length / 2 if begins_there else 0.0
