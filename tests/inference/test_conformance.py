"""Every engine of the harness passes the tests that other packages' engines inherit; and those tests can fail."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from bench.config import Config, DecodeConfig, DType, Engine, ModelConfig, Parity
from bench.errors import ModelError
from bench.inference import conformance
from bench.inference.conformance import EngineConformance
from bench.inference.fake import FakeEngine
from bench.measure.clock import PhaseClock
from bench.records import Samples, Transcript, Window


class TestFake(EngineConformance):
    config = Config(engine=Engine.fake, model=ModelConfig(name="fake/ok"))


@pytest.mark.slow
class TestTransformersWhisper(EngineConformance):
    config = Config(threads=1)


class TestTransformersCTC(EngineConformance):
    config = Config(threads=1, model=ModelConfig(name="packaged/wav2vec2-demo"))


@pytest.mark.slow
class TestFasterWhisper(EngineConformance):
    config = Config(engine=Engine.faster_whisper, threads=1)
    packages = ("faster_whisper",)


@pytest.mark.slow
class TestFasterWhisperInt8(EngineConformance):
    config = Config(engine=Engine.faster_whisper, threads=1, model=ModelConfig(dtype=DType.int8))


@pytest.mark.slow
class TestFasterWhisperNative(EngineConformance):
    config = Config(engine=Engine.faster_whisper, threads=1, decode=DecodeConfig(parity=Parity.native))


@pytest.mark.slow
class TestOnnxRuntime(EngineConformance):
    config = Config(engine=Engine.onnxruntime, threads=1)
    packages = ("onnxruntime",)


@pytest.mark.slow
class TestOnnxRuntimeCTC(EngineConformance):
    config = Config(engine=Engine.onnxruntime, threads=1, model=ModelConfig(name="packaged/wav2vec2-demo"))


class Faulty(FakeEngine):
    """Does one thing wrong."""

    kept: ClassVar[list["Faulty"]] = []
    ballast: ClassVar[list[Any]] = []
    passes = 0

    def __init__(self, fault: str) -> None:
        super().__init__("fake/ok")
        self.fault = fault
        if fault == "held":
            self.kept.append(self)
        if fault == "leak":
            self.ballast.append(np.ones(64 << 20, np.uint8))

    def features(self, batch: Sequence[Samples]) -> list[int]:
        return [len(batch[0])] if self.fault == "dropped" else super().features(batch)

    def decode(self, inputs: list[int], clock: PhaseClock) -> list[int]:
        if self.fault == "unbooked":
            return inputs
        with clock.phase("thinking" if self.fault == "unknown phase" else "decode"):
            self.passes += 1
            more = 16_000 * self.passes if self.fault == "unsteady" else 0
            more += 16_000 * len(inputs) if self.fault == "batch" else 0
            if self.fault == "short" and min(inputs) < 8_000:
                raise ValueError("too short")
            return [length + more for length in inputs]

    def join(self, emissions: Sequence[int], windows: Sequence[Window]) -> Transcript:
        told = super().join(emissions, windows)
        match self.fault:
            case "deaf":
                return Transcript("", (), tuple(windows))
            case "no windows":
                return replace(told, windows=())
            case "other words":
                return replace(told, words=told.words[1:])
            case "late":
                return replace(told, words=tuple(replace(word, start_s=99.0, end_s=100.0) for word in told.words))
            case "unordered":
                times = [(1.0 - 0.1 * at, 1.0) for at in range(len(told.words))]
                timed = (replace(one, start_s=a, end_s=b) for one, (a, b) in zip(told.words, times, strict=True))
                return replace(told, words=tuple(timed))
        return told


FAULTS = {
    "deaf": "test_every_recording_has_a_text_of_words_with_windows",
    "no windows": "test_every_recording_has_a_text_of_words_with_windows",
    "other words": "test_every_recording_has_a_text_of_words_with_windows",
    "late": "test_times_lie_within_the_recording_and_in_order",
    "unordered": "test_times_lie_within_the_recording_and_in_order",
    "unsteady": "test_the_same_input_gives_the_same_output",
    "batch": "test_a_batch_changes_no_text",
    "unbooked": "test_time_is_booked_under_known_phases_and_once",
    "unknown phase": "test_time_is_booked_under_known_phases_and_once",
    "short": "test_the_longest_and_the_shortest_window_are_taken",
    "dropped": "test_a_batch_has_an_emission_for_each_window",
    "held": "test_memory_is_released",
    "leak": "test_memory_is_released",
}


class _Conformance(EngineConformance):
    config = Config(engine=Engine.fake, model=ModelConfig(name="fake/ok"))

    def recordings(self, rate_hz: int) -> list[Samples]:
        return [np.zeros(round(seconds * rate_hz), np.float32) for seconds in (4.5, 2.5)]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conformance, "load_engine", lambda config, path: Faulty(fault))
    _Conformance.teardown_class()
    with pytest.raises((AssertionError, ValueError)):
        getattr(_Conformance(), FAULTS[fault])()
    _Conformance.teardown_class()
    Faulty.kept.clear()
    Faulty.ballast.clear()


@pytest.mark.parametrize(
    ("test", "setting"),
    [
        ("test_a_device_that_is_not_there_is_refused", "device"),
        ("test_a_model_that_is_not_there_is_refused", "model"),
    ],
)
def test_what_is_taken_silently_is_found(test: str, setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conformance, "load_engine", lambda config, path: FakeEngine("fake/ok"))
    monkeypatch.setattr("bench.measure.device.require", lambda name: None)
    with pytest.raises(AssertionError, match="was taken"):
        getattr(_Conformance(), test)()


def test_a_refusal_that_does_not_name_the_type_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(config: Config, path: str) -> FakeEngine:
        raise ModelError("no")

    monkeypatch.setattr(conformance, "load_engine", load)
    with pytest.raises(AssertionError, match="does not name the dtype"):
        _Conformance().test_every_numeric_type_is_honoured_or_refused()


def test_a_package_that_nobody_names_is_found() -> None:
    class Unnamed(_Conformance):
        packages = ("numpy",)

    with pytest.raises(AssertionError, match="without numpy"):
        Unnamed().test_a_package_that_is_not_there_is_named()
