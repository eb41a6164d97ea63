"""Which models tell when a word was said, and under which decoding; held against what their engines then do."""

import dataclasses
from pathlib import Path

import pytest

from bench.config import Config, DecodeConfig, Engine, Merge, ModelConfig, Parity, Strategy
from bench.inference.engines import load_engine
from bench.inference.transcribe import transcribe
from bench.inference.word_times import decoding_with_times
from bench.measure.clock import PhaseClock
from bench.records import Samples
from tests.inference.ctc_folders import babble, save

PIPELINE = DecodeConfig(merge=Merge.pipeline, chunk_length_s=10, stride_length_s=2, num_beams=1)
SEQUENTIAL = DecodeConfig(strategy=Strategy.sequential, stride_length_s=0)


def tells(config: Config, folder: Path, samples: Samples) -> bool:
    engine = load_engine(config, str(folder))
    (transcript,) = transcribe(engine, [samples], config.decode, 4, PhaseClock())
    assert transcript.words
    return all(word.start_s is not None and word.end_s is not None for word in transcript.words)


@pytest.mark.parametrize("decode", [PIPELINE, SEQUENTIAL, DecodeConfig()], ids=["pipeline", "sequential", "aligned"])
def test_whisper_tells_them_where_windows_are_aligned(decode: DecodeConfig, tiny_en: Path, speech_dir: Path) -> None:
    from bench.data.audio import decode_audio

    samples = decode_audio(next((speech_dir / "librispeech_other").glob("1688*.flac")), 16_000)
    config = Config(decode=decode)
    found = decoding_with_times(config, str(tiny_en))
    assert found is not None
    assert tells(dataclasses.replace(config, decode=found), tiny_en, samples)
    assert tells(config, tiny_en, samples) == (found == decode)


def test_ctc_tells_them_always(tmp_path: Path) -> None:
    folder = save("wav2vec2-group", tmp_path)
    config = Config(decode=PIPELINE, model=ModelConfig(str(folder), max_window_s=None))
    assert decoding_with_times(config, str(folder)) == PIPELINE
    assert tells(config, folder, babble(12.0))


def test_others_never_do(tmp_path: Path) -> None:
    from transformers import MoonshineConfig

    MoonshineConfig().save_pretrained(tmp_path)
    assert decoding_with_times(Config(), str(tmp_path)) is None
    assert decoding_with_times(Config(engine=Engine.fake), "") is None


def test_other_engines_tell_times_where_windows_are_aligned(tmp_path: Path) -> None:
    asked = Config(engine=Engine.faster_whisper, decode=DecodeConfig(merge=Merge.pipeline))
    found = decoding_with_times(asked, str(tmp_path))
    assert found == dataclasses.replace(asked.decode, merge=Merge.aligned)
    native = dataclasses.replace(asked, decode=DecodeConfig(parity=Parity.native))
    assert decoding_with_times(native, str(tmp_path)) is None
