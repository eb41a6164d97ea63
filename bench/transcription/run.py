"""Recordings in, transcripts out: what a run of a study does, without measuring it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.config import Config, Strategy
from bench.data.audio import load_recordings
from bench.errors import AudioError, ConfigError
from bench.inference.engine import Engine
from bench.inference.engines import load_engine
from bench.inference.transcribe import Plans, plan, transcribe
from bench.measure import device
from bench.measure.clock import PhaseClock
from bench.records import Samples, Transcript, Utterance
from bench.transcription.settings import Settled
from bench.trial import largest_batch, seed_everything

GROUP_S = 1800.0
"""Seconds of audio that are transcribed together, at least: batches are full, and a text is not long in coming."""


@dataclass(frozen=True)
class Transcribed:
    """What came of a recording.

    Attributes:
        path: The recording.
        rate_hz: Sampling rate its windows are counted in; null where nothing was read.
        duration_s: Its length in seconds; null likewise.
        transcript: Null where ``error`` says why.
        error: Why there is no transcript.
    """

    path: Path
    rate_hz: int | None = None
    duration_s: float | None = None
    transcript: Transcript | None = None
    error: str | None = None


class Watch(Protocol):
    """Is told how the work goes on."""

    def begin(self, what: str, windows: int | None) -> None:
        """Something begins; so many windows of it are to be decoded, if that is known."""

    def advance(self, windows: int) -> None:
        """So many windows more were decoded."""

    def end(self) -> None:
        """It has ended, well or not."""


class Unwatched:
    """Tells nobody."""

    def begin(self, what: str, windows: int | None) -> None:
        """Do nothing."""

    def advance(self, windows: int) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""


def transcripts(paths: Sequence[Path], settled: Settled, watch: Watch) -> Iterator[Transcribed]:
    """Transcribe recordings, and yield each in its turn as soon as its group is done (see :data:`GROUP_S`).

    A recording that cannot be used is told with its reason, and the others are transcribed. No model is loaded where
    none of the files exists.

    Args:
        paths: The recordings.
        settled: The settings.
        watch: Is told how the work goes on.

    Raises:
        ConfigError: The model or the device cannot honour the settings, or memory does not suffice.
        ModelError: The model cannot be loaded.
        AssetError: There is nowhere to write decoded audio to.
    """
    if not any(path.is_file() for path in paths):
        yield from (Transcribed(path, error=_absent(path)) for path in paths)
        return
    config = settled.config
    device.require(config.device)
    seed_everything(config)
    with _told(watch, f"loading {config.model.name}"):
        engine = load_engine(config, settled.model_path)
    batch_size = None if isinstance(config.decode.batch_size, str) else config.decode.batch_size
    for group in _groups(paths, engine.rate_hz):
        usable = [samples for _, samples in group if not isinstance(samples, AudioError)]
        what = f"{len(group)} recordings" if len(group) > 1 else group[0][0].name
        with _out_of_memory_named(config):
            said, batch_size = _transcribed(engine, usable, config, batch_size, what, watch)
        remaining = iter(said)
        for path, samples in group:
            if isinstance(samples, AudioError):
                yield Transcribed(path, error=str(samples))
            else:
                yield Transcribed(path, engine.rate_hz, len(samples) / engine.rate_hz, next(remaining))


def _transcribed(
    engine: Engine, recordings: Sequence[Samples], config: Config, batch_size: int | None, what: str, watch: Watch
) -> tuple[list[Transcript], int | None]:
    """Transcribe a group; returns the size of its batches, too, which is looked for where it is not known yet."""
    if not recordings:
        return [], batch_size
    # Finding silences takes a while, and transcribing does it once already.
    plans = None if config.decode.strategy is Strategy.vad and batch_size else plan(engine, recordings, config.decode)
    if batch_size is None:
        assert plans is not None
        with _told(watch, "looking for the largest batch"):
            batch_size = largest_batch(engine, recordings, plans, config)
    clock = _Clock(config.device, watch)
    with _told(watch, what, plans):
        prefetch = config.device != "cpu"
        return transcribe(engine, recordings, config.decode, batch_size, clock, prefetch), batch_size


def _groups(paths: Sequence[Path], rate_hz: int) -> Iterator[list[tuple[Path, Samples | AudioError]]]:
    group, audio_s = list[tuple[Path, Samples | AudioError]](), 0.0
    for path in paths:
        samples = _loaded(path, rate_hz)
        group.append((path, samples))
        audio_s += 0.0 if isinstance(samples, AudioError) else len(samples) / rate_hz
        if audio_s >= GROUP_S:
            yield group
            group, audio_s = [], 0.0
    if group:
        yield group


def _loaded(path: Path, rate_hz: int) -> Samples | AudioError:
    if not path.is_file():
        return AudioError(_absent(path))
    (samples,) = load_recordings([Utterance(path.name, path, "")], rate_hz).recordings
    return samples


def _absent(path: Path) -> str:
    if path.is_dir():
        return f"{path} is a folder; name the recordings in it"
    return f"{path} does not exist; check its name"


class _Clock(PhaseClock):
    """Tells a watch of every batch."""

    def __init__(self, on: str, watch: Watch) -> None:
        super().__init__(device.synchronizer(on))
        self._watch = watch

    @contextmanager
    def lap(self, windows: int) -> Iterator[None]:
        """As :meth:`bench.measure.clock.PhaseClock.lap`."""
        with super().lap(windows):
            yield
        self._watch.advance(windows)


@contextmanager
def _told(watch: Watch, what: str, plans: Plans | None = None) -> Iterator[None]:
    watch.begin(what, None if plans is None else sum(map(len, plans)))
    try:
        yield
    finally:
        watch.end()


@contextmanager
def _out_of_memory_named(config: Config) -> Iterator[None]:
    """Turn running out of memory into a request that can be mended.

    Raises:
        ConfigError: Memory did not suffice.
    """
    import torch  # slow, and loaded by now

    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise ConfigError(
            f"memory on {config.device} does not suffice for decode.batch_size={config.decode.batch_size}; use a"
            " smaller batch, decode.batch_size=auto, or a smaller model.dtype"
        ) from error
