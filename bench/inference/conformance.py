"""What every engine must do: tests that the authors of an engine inherit, as the harness's own engines do.

Write a subclass whose name begins with ``Test`` and which says how the engine is asked for; pytest does the rest::

    class TestMine(EngineConformance):
        config = Config(engine="mine", model=ModelConfig(name="mine/small"))
"""

import gc
import json
import os
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from typing import ClassVar

import numpy as np

from bench.config import AUTO, Config, DataConfig, DType, Strategy
from bench.data.audio import load_recordings
from bench.data.dataset import load_dataset
from bench.errors import AudioError, BenchError
from bench.inference import parity
from bench.inference.engine import Engine
from bench.inference.engines import load_engine
from bench.inference.model_files import model_files
from bench.inference.transcribe import plan, transcribe
from bench.measure import device, memory
from bench.measure.clock import PhaseClock
from bench.readings import PHASES
from bench.records import Samples, Transcript

# Of the demo's recordings, by default: long enough for two windows, and for one.
_LENGTHS_S = (4.5, 2.5)
_CHUNK_S, _STRIDE_S = 3.0, 0.5
_SHORTEST_S = 0.1
_SLACK_MIB = 12.0  # of the allocator, and of caches of the libraries

# Loads an engine where some modules cannot be imported; prints what the harness raises, and lets the rest through.
_WITHOUT = """
import json, sys
settings, path, hidden = json.loads(sys.argv[1])
sys.modules[hidden] = None
from omegaconf import OmegaConf
from bench.config.structured import schema
from bench.errors import BenchError
from bench.inference.engines import load_engine
try:
    load_engine(OmegaConf.to_object(OmegaConf.merge(schema(), settings)), path)
except BenchError as error:
    print(error)
"""


class _NotedClock(PhaseClock):
    """A clock that remembers which phases were booked."""

    def __init__(self) -> None:
        super().__init__()
        self.phases: set[str] = set()

    def enter(self, phase: str) -> None:
        self.phases.add(phase)
        super().enter(phase)


class EngineConformance:
    """Tests of one engine with one model, both named by ``config``.

    Attributes:
        config: How the engine is asked for; its chunks and strides are set by the tests.
        batch_invariant: Whether a window gives the same text in any batch, which whoever sets this to False has to tell
            the users of the engine.
        packages: Names of modules, as they are imported, that the engine needs beside the harness's own. Without each
            of them the engine must say which package to install.
    """

    config: ClassVar[Config]
    batch_invariant: ClassVar[bool] = True
    packages: ClassVar[Sequence[str]] = ()

    def recordings(self, rate_hz: int) -> list[Samples]:
        """Return some seconds of speech, in which the engine hears words; the demo's, unless a subclass has others."""
        utterance = load_dataset(DataConfig()).utterances[0]
        (samples,) = load_recordings([utterance], rate_hz).recordings
        assert not isinstance(samples, AudioError), f"{utterance.path} cannot be used: {samples}"
        return [np.array(samples[: round(seconds * rate_hz)]) for seconds in _LENGTHS_S]

    @classmethod
    def teardown_class(cls) -> None:
        """Let go of the engine."""
        _LOADED.clear()
        _HEARD.clear()

    def test_every_recording_has_a_text_of_words_with_windows(self) -> None:
        """A transcript names the windows it is from, and its words are those of its text."""
        engine, heard = self._engine, self._heard
        plans = plan(engine, self.recordings(engine.rate_hz), _cut(self.config).decode)
        assert len(heard) == len(plans)
        assert any(one.text for one in heard), "no word was heard; does recordings() give speech?"
        for one, windows in zip(heard, plans, strict=True):
            assert list(one.windows) == windows, "a transcript must name the windows that it was joined from"
            assert all(0 <= word.window < len(windows) for word in one.words), "a word is of a window that is none"
            joined = "".join("".join(word.text.split()) for word in one.words)
            assert joined == "".join(one.text.split()), "the words of a transcript must be those of its text"

    def test_times_lie_within_the_recording_and_in_order(self) -> None:
        """Where words have times, they are seconds from the start of the recording."""
        rate_hz = self._engine.rate_hz
        for one, samples in zip(self._heard, self.recordings(rate_hz), strict=True):
            times = [(word.start_s, word.end_s) for word in one.words]
            timed = [(start, end) for start, end in times if start is not None and end is not None]
            assert len(timed) == len([each for each in times if each != (None, None)]), "a time is of one end alone"
            assert all(0 <= start <= end <= len(samples) / rate_hz + 1e-6 for start, end in timed), f"times: {timed}"
            assert timed == sorted(timed, key=lambda each: each[0]), f"words are out of order: {timed}"

    def test_the_same_input_gives_the_same_output(self) -> None:
        """Decoding twice gives the same transcripts."""
        assert self._transcribed() == self._heard, "two passes over the same windows gave different transcripts"

    def test_a_batch_changes_no_text(self) -> None:
        """A window gives the same text alone as beside others, unless the engine promises no such thing."""
        alone = self._transcribed(batch_size=1)
        if self.batch_invariant:
            assert [one.text for one in alone] == [one.text for one in self._heard], "a text depends on its batch"

    def test_features_may_be_made_in_another_thread(self) -> None:
        """The core makes the next batch's features while the model runs."""
        assert self._transcribed(prefetch=True) == self._heard, "features() of another thread changed the transcripts"

    def test_time_is_booked_under_known_phases_and_once(self) -> None:
        """What decode() does is on the clock it is given."""
        clock, started = _NotedClock(), time.perf_counter()
        self._transcribed(clock=clock)
        wall_s = time.perf_counter() - started
        known = {phase.removesuffix("_s") for phase in PHASES}
        assert clock.phases <= known, f"unknown phases {sorted(clock.phases - known)}; book under {sorted(known)}"
        assert clock.phases & {"encode", "decode"}, "decode() must book its time under encode or decode"
        assert sum(clock.seconds(phase) for phase in known) <= wall_s

    def test_the_longest_and_the_shortest_window_are_taken(self) -> None:
        """A tenth of a second can be decoded, and the longest window that the engine says it takes."""
        engine = self._engine
        lengths_s = [_SHORTEST_S, *([engine.max_window_s] if engine.max_window_s else [])]
        for seconds in lengths_s:
            silence = np.zeros(max(engine.align, round(seconds * engine.rate_hz)), np.float32)
            emissions = engine.decode(engine.features([silence]), PhaseClock())
            assert len(emissions) == 1, f"decode() gave {len(emissions)} emissions for a window of {seconds:g} s"

    def test_a_batch_has_an_emission_for_each_window(self) -> None:
        """Two windows that go together give two emissions."""
        engine = self._engine
        window = self.recordings(engine.rate_hz)[1]
        emissions = engine.decode(engine.features([window, window]), PhaseClock())
        assert len(emissions) == 2, f"decode() gave {len(emissions)} emissions for two windows"

    def test_what_it_says_of_itself_makes_sense(self) -> None:
        """Rates and lengths are above 0, and sizes not below."""
        engine = self._engine
        assert engine.rate_hz > 0
        assert engine.align > 0
        assert engine.max_window_s is None or engine.max_window_s >= _SHORTEST_S
        parts = (engine.footprint.weights_mib, engine.footprint.features_mib, engine.footprint.cache_mib)
        assert all(part is None or part >= 0 for part in parts)

    def test_memory_is_released(self) -> None:
        """An engine that is let go takes its memory along, so that loading again does not grow the process."""
        _LOADED.clear()
        _HEARD.clear()
        held_mib, left_mib = [], []
        for _ in range(5):
            engine = _load(self.config)
            reference = weakref.ref(engine)
            held_mib.append(_resident_mib())
            del engine
            gc.collect()
            assert reference() is None, "something still holds the engine that was let go"
            left_mib.append(_resident_mib())
        taken_mib = held_mib[1] - left_mib[0]
        # What is kept is kept at every load; allocators and libraries grow now and then.
        kept_mib = min(after - before for before, after in pairwise(left_mib))
        assert kept_mib <= max(_SLACK_MIB, 0.25 * taken_mib), f"each load leaves {kept_mib:.0f} MiB or more behind"

    def test_every_numeric_type_is_honoured_or_refused(self) -> None:
        """Each model.dtype loads, or is refused by name."""
        for dtype in DType:
            config = replace(self.config, model=replace(self.config.model, dtype=dtype))
            if refused := _refusal(config):
                assert "dtype" in refused or dtype.value in refused, f"this refusal does not name the dtype: {refused}"

    def test_a_device_that_is_not_there_is_refused(self) -> None:
        """No device is silently replaced by another."""
        for name in ("cuda:99", "mps"):
            if device.why_absent(name) is not None:
                refused = _refusal(replace(self.config, device=name))
                assert refused is not None, f"device={name} is not there, and was taken"
                assert "device" in refused, f"this refusal does not name the device: {refused}"

    def test_a_model_that_is_not_there_is_refused(self) -> None:
        """A model that cannot be found is an error of one line, which names it."""
        name = "no-such-folder/no-such-model"
        refused = _refusal(replace(self.config, model=replace(self.config.model, name=f"./{name}")))
        assert refused is not None, f"model.name=./{name} is not there, and was taken"
        assert name in refused, f"this refusal does not name the model: {refused}"

    def test_a_package_that_is_not_there_is_named(self) -> None:
        """Without a package that the engine needs, the error says which one to install."""
        for module in self.packages:
            told = json.dumps([asdict(self.config), _path(self.config), module])
            done = subprocess.run(  # noqa: S603 - a constant program
                [sys.executable, "-c", _WITHOUT, told],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"without {module} loading ends in a traceback: {done.stderr[-2000:]}"
            said = done.stdout.replace("-", "_")
            assert module in said, f"without {module} the message does not name it: {done.stdout!r}"
            assert "install" in said, f"the message does not say what to do: {done.stdout!r}"

    @property
    def _engine(self) -> Engine:
        if type(self) not in _LOADED:
            _LOADED[type(self)] = _load(self.config)
        return _LOADED[type(self)]

    @property
    def _heard(self) -> list[Transcript]:
        if type(self) not in _HEARD:
            _HEARD[type(self)] = self._transcribed()
        return _HEARD[type(self)]

    def _transcribed(
        self, batch_size: int | None = None, prefetch: bool = False, clock: PhaseClock | None = None
    ) -> list[Transcript]:
        spec = _cut(self.config).decode
        size = batch_size or (4 if spec.batch_size == AUTO else int(spec.batch_size))
        recordings = self.recordings(self._engine.rate_hz)
        return transcribe(self._engine, recordings, spec, size, clock or PhaseClock(), prefetch)


# pytest makes an instance for each test; those of a class share what was loaded and heard.
_LOADED: dict[type[EngineConformance], Engine] = {}
_HEARD: dict[type[EngineConformance], list[Transcript]] = {}


def _load(config: Config) -> Engine:
    return load_engine(_cut(config), _path(config))


def _cut(config: Config) -> Config:
    """Make windows short enough for several."""
    stride_s = _STRIDE_S if config.decode.strategy is Strategy.chunked else 0.0
    return replace(config, decode=replace(config.decode, chunk_length_s=_CHUNK_S, stride_length_s=stride_s))


def _path(config: Config) -> str:
    model = model_files(config)
    return str(model.folder) if model else ""


def _refusal(config: Config) -> str | None:
    """Say why a configuration is refused: in the driver, by the run before it loads, or by the engine; null if not.

    Raises:
        Exception: Loading raised what is none of the harness's errors, which would be a traceback to a user.
    """
    try:
        parity.require(config)
        device.require(config.device)
        load_engine(config, _path(config))
    except BenchError as error:
        return str(error)
    return None


def _resident_mib() -> float:
    memory.give_back_freed()
    return memory.resident_mib() or 0.0
