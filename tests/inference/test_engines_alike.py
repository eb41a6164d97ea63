"""The same weights under three engines: texts and times of real speech, whole numbers, memory, and the engines' own."""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pytest

from bench.config import Config, DecodeConfig, DType, Engine, ModelConfig, Parity
from bench.data.audio import decode_audio
from bench.inference.engines import load_engine
from bench.inference.model_files import model_files
from bench.inference.transcribe import transcribe
from bench.measure.clock import PhaseClock
from bench.records import Samples, Transcript

RATE_HZ = 16_000
MODULES = {Engine.faster_whisper: "faster_whisper", Engine.onnxruntime: "onnxruntime", Engine.transformers: "torch"}
WHOLE = DecodeConfig(stride_length_s=0.0, batch_size=2)


@pytest.fixture(scope="module")
def speech(speech_dir: Path) -> list[Samples]:
    """Windows of three lengths, and one of what is no speech: they end at different steps of the loop."""
    utterances = sorted((speech_dir / "librispeech_other").glob("*.flac"))[:2]
    silence = np.zeros(RATE_HZ, np.float32)
    return [
        *(decode_audio(path, RATE_HZ) for path in utterances),
        decode_audio(utterances[1], RATE_HZ)[:40_000],
        silence,
    ]


def heard(engine: Engine, speech: list[Samples], clock: PhaseClock | None = None, **settings: Any) -> list[Transcript]:
    if find_spec(MODULES[engine]) is None:
        pytest.skip(f"needs {MODULES[engine]}")
    dtype = settings.pop("dtype", DType.float32)
    config = Config(engine=engine.value, threads=1, model=ModelConfig(dtype=dtype), decode=replace(WHOLE, **settings))
    model = model_files(config)
    assert model is not None
    loaded = load_engine(config, str(model.folder))
    said = transcribe(loaded, speech, config.decode, 3, clock or PhaseClock())
    if config.decode.parity is Parity.locked:
        bytes_each = 4 if dtype is DType.float32 else 1
        # whisper-tiny.en has 37.76 million numbers; rounding leaves embeddings and convolutions, by engine.
        held = loaded.footprint.weights_mib
        assert held is not None
        assert 37.7 * bytes_each <= held * 1.048576 <= (152 if bytes_each == 4 else 125)
    return said


@pytest.fixture(scope="module")
def ours(tiny_en: Path, speech: list[Samples]) -> list[Transcript]:
    return heard(Engine.transformers, speech)


@pytest.mark.parametrize("engine", [Engine.faster_whisper, Engine.onnxruntime])
def test_texts_are_the_same_and_times_a_frame_apart(
    engine: Engine, ours: list[Transcript], speech: list[Samples]
) -> None:
    clock = PhaseClock()
    theirs = heard(engine, speech, clock)
    assert [each.text for each in theirs] == [each.text for each in ours]
    assert len(ours[0].words) > 20
    for mine, other in zip(ours, theirs, strict=True):
        starts, others = ([word.start_s or 0.0 for word in one.words] for one in (mine, other))
        # CTranslate2 filters each head by itself, and ends elsewhere where a word fades into silence.
        assert np.median(np.abs(np.subtract(starts, others)) if starts else [0.0]) <= 0.02
    assert all(clock.seconds(phase) > 0 for phase in ("features", "encode", "decode", "align", "merge"))


@pytest.mark.slow
@pytest.mark.parametrize("engine", list(MODULES))
def test_whole_numbers_change_few_words(engine: Engine, ours: list[Transcript], speech: list[Samples]) -> None:
    rounded = heard(engine, speech, dtype=DType.int8)
    pairs = [(mine.text, other.text) for mine, other in zip(ours, rounded, strict=True) if mine.text]
    assert jiwer.wer([mine for mine, _ in pairs], [other for _, other in pairs]) <= 0.15


@pytest.mark.slow
def test_beams_find_the_same_words(ours: list[Transcript], speech: list[Samples]) -> None:
    theirs, library = (
        heard(engine, speech[:1], num_beams=4)[0].text for engine in (Engine.faster_whisper, Engine.transformers)
    )
    assert theirs != ours[0].text, "here a greedy choice is not the best"
    # The two end their searches by rules of their own, which tells in punctuation.
    words = [text.lower().replace(",", "").replace(".", "") for text in (library, theirs)]
    assert jiwer.wer(words[0], words[1]) <= 0.05


@pytest.mark.parametrize("engine", [Engine.faster_whisper, Engine.transformers])
def test_native_is_what_the_library_says_by_itself(engine: Engine, tiny_en: Path, speech: list[Samples]) -> None:
    said = heard(engine, speech[2:3], parity=Parity.native)
    if engine is Engine.faster_whisper:
        from faster_whisper import WhisperModel

        from bench.assets.weights import ctranslate2_folder

        model = WhisperModel(str(ctranslate2_folder("packaged/whisper-tiny.en")), "cpu", compute_type="float32")
        texts = ["".join(one.text for one in model.transcribe(each)[0]).strip() for each in speech[2:3]]
    else:
        from transformers import pipeline

        recognise: Any = pipeline("automatic-speech-recognition", str(tiny_en), dtype="float32")
        texts = [recognise(np.array(each))["text"].strip() for each in speech[2:3]]
    assert [each.text for each in said] == texts
    assert all(len(each.windows) == 1 for each in said)


def test_graphs_tell_what_made_them(tiny_en: Path, ours: list[Transcript], speech: list[Samples]) -> None:
    onnx = pytest.importorskip("onnx")
    model = model_files(Config(engine="onnxruntime"))
    assert model is not None
    for name in ("encoder", "decoder"):
        graph = onnx.load(model.folder / f"{name}.onnx", load_external_data=False)
        told = {each.key: each.value for each in graph.metadata_props}
        (opset,) = [each.version for each in graph.opset_import if each.domain == ""]
        assert told["asr_sweep.opset"] == str(opset)
        assert {"asr_sweep.torch", "asr_sweep.onnxscript", "asr_sweep.dtype"} <= told.keys()
    assert not list(model.folder.glob("*.bin")), "no pickled weights"
    assert json.loads((model.folder / "generation_config.json").read_text())["suppress_tokens"]
