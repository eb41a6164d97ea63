"""The part of a recording that is looked at, at the file's own rate and at the model's."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.data.audio import decode_audio, native_rate_hz
from bench.errors import AudioError, ConfigError
from bench.records import Samples

_DEFAULT_S = 30.0
_LONGEST_S = 60.0  # of a longer one a picture has no column left for every frame
_LEAST_SHARE = 0.0001
_SHORTEST_S = 0.1  # as the engines have it: shorter than that, some extractors make no frame at all


@dataclass(frozen=True, eq=False)
class Span:
    """A part of a recording.

    Attributes:
        path: The recording.
        start_s: Where in the recording it starts, in seconds.
        native: Its samples at the file's own rate, mono.
        native_hz: That rate.
        heard: Its samples as models get them: cut from the whole recording after that was resampled.
        heard_hz: The model's rate.
    """

    path: Path
    start_s: float
    native: Samples
    native_hz: int
    heard: Samples
    heard_hz: int

    @property
    def duration_s(self) -> float:
        """Its length in seconds."""
        return len(self.native) / self.native_hz

    @property
    def end_s(self) -> float:
        """Where in the recording it ends, in seconds."""
        return self.start_s + self.duration_s

    @property
    def file_top_hz(self) -> float:
        """Highest frequency that the file can hold: half its rate (Nyquist's theorem)."""
        return self.native_hz / 2

    @property
    def model_top_hz(self) -> float:
        """Highest frequency that can reach the model: half the rate it is given."""
        return self.heard_hz / 2

    @property
    def lost_hz(self) -> tuple[float, float] | None:
        """The band that resampling to the model's rate drops, from and to; null where the file ends below it."""
        return (self.model_top_hz, self.file_top_hz) if self.file_top_hz > self.model_top_hz else None

    @property
    def lost_share(self) -> float:
        """Share of the span's energy that lies above what can reach the model, by Parseval's theorem; 0 in silence."""
        energy = np.abs(np.fft.rfft(self.native)) ** 2
        above = np.fft.rfftfreq(len(self.native), 1 / self.native_hz) > self.model_top_hz
        return float(energy[above].sum() / energy.sum()) if energy.any() else 0.0

    @property
    def empty_hz(self) -> tuple[float, float] | None:
        """The band in which the model looks and the file can hold nothing, from and to; null where there is none."""
        return (self.file_top_hz, self.model_top_hz) if self.file_top_hz < self.model_top_hz else None


def read_span(
    path: Path, rate_hz: int, start_s: float = 0.0, duration_s: float | None = None, window_s: float | None = None
) -> Span:
    """Read a part of a recording; one that reaches beyond the end of the recording ends there.

    Args:
        path: The recording.
        rate_hz: The model's rate.
        start_s: Where it starts, in seconds.
        duration_s: Its length in seconds; null is 30 s, or the model's window where that is shorter.
        window_s: The longest input the model takes, in seconds; null is no limit.

    Raises:
        AudioError: The recording cannot be decoded, or holds next to nothing from ``start_s`` on.
        ConfigError: The span is too long, or no span.
        AssetError: There is nowhere to write decoded audio to.
    """
    longest_s = min(_LONGEST_S, window_s or math.inf)
    wanted_s = min(_DEFAULT_S, longest_s) if duration_s is None else duration_s
    if not 0 <= start_s < math.inf:
        raise ConfigError(f"--start {start_s:g} is no place in a recording; give seconds from 0 up")
    if not _SHORTEST_S <= wanted_s <= longest_s:
        why = "all that the model sees at once" if longest_s == window_s else "beyond which a picture shows no frames"
        raise ConfigError(
            f"--duration {wanted_s:g} is not between {_SHORTEST_S:g} and {longest_s:g} seconds, {why}; look at the rest"
            " of a recording with --start"
        )
    if not path.is_file():
        raise AudioError(f"{path} is no file; give the path of a recording")
    native_hz = native_rate_hz(path)
    native, heard = (
        decode_audio(path, hz)[round(start_s * hz) : round((start_s + wanted_s) * hz)] for hz in (native_hz, rate_hz)
    )
    if min(len(native) / native_hz, len(heard) / rate_hz) < _SHORTEST_S:
        raise AudioError(f"{path} holds less than {_SHORTEST_S:g} s from --start {start_s:g} on; give a lower --start")
    return Span(path, start_s, native, native_hz, heard, rate_hz)


def khz(hz: float) -> str:
    """Write a frequency or rate in kilohertz."""
    return f"{hz / 1000:g} kHz"


def percent(share: float) -> str:
    """Write a share of the whole; one that is next to nothing is not written as none."""
    return f"{share:.2%}" if share >= _LEAST_SHARE or not share else f"less than {_LEAST_SHARE:.2%}"
