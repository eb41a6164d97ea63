"""Which engine a model's own configuration leads to, and random weights end to end."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.assets.cache import CACHE_VARIABLE
from bench.assets.models import locate
from bench.config import Config, DecodeConfig, Engine, ModelConfig, Weights
from bench.data.audio import decode_audio
from bench.errors import ModelError
from bench.inference.ctc import CTCEngine
from bench.inference.engines import load_engine
from bench.inference.fake import FakeEngine
from bench.inference.seq2seq import Seq2SeqEngine
from bench.inference.transcribe import transcribe
from bench.inference.whisper import WhisperEngine
from bench.measure.clock import PhaseClock
from tests.inference.ctc_folders import babble, save


@pytest.mark.parametrize(
    ("name", "engine"),
    [("whisper-tiny", WhisperEngine), ("moonshine-tiny", Seq2SeqEngine), ("wavlm-base-plus", CTCEngine)],
)
def test_the_engine_of_a_family(name: str, engine: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    model = ModelConfig(name=f"architecture/{name}", weights=Weights.random)
    if engine is CTCEngine:  # WavLM has no other attention
        model = replace(model, attention=type(model.attention).eager)
    assert type(load_engine(Config(model=model), str(locate(model.name, Weights.random).folder))) is engine


def test_the_fake_engine_needs_no_files() -> None:
    assert type(load_engine(Config(engine=Engine.fake, model=ModelConfig(name="fake/ok")), "")) is FakeEngine


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"model_type": "bert"}', "is of the family 'bert', which transformers does not list for speech recognition"),
        ('{"model_type": "no such family"}', "cannot be loaded"),
        ("{}", "cannot be loaded"),
        ("no JSON", "cannot be loaded"),
    ],
)
def test_what_cannot_recognise_speech_is_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError, match=message) as raised:
        load_engine(Config(model=ModelConfig(name="mine")), str(tmp_path))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("whisper-tiny", []),
        ("whisper-tiny", ["decode.num_beams=2", "decode.timestamps=true"]),
        ("whisper-tiny", ["decode=sequential"]),
        ("moonshine-tiny", []),
        ("moonshine-tiny", ["decode.num_beams=2"]),
        ("wav2vec2-base", []),
    ],
)
def test_random_weights_run_without_a_wer(
    name: str, overrides: list[str], tone_manifest: Callable[..., Path], tmp_path: Path
) -> None:
    runs = bench.run(
        "study=random",
        f"results.root={tmp_path}",
        "data=manifest",
        f"data.path={tone_manifest(1.0, 2.5)}",
        "model=random",
        f"model.name=architecture/{name}",
        "measure.warmup=0",
        "decode.batch_size=2",
        *overrides,
    )
    (run,) = runs.to_dict("records")
    assert run["status"] == "ok", run["status_reason"]
    assert runs["wer"].isna().all()
    assert run["audio_s"] == pytest.approx(3.5)
    assert bench.load_utterances(tmp_path / "random")["hypothesis"].isna().all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch's compiler
@pytest.mark.parametrize("family", ["whisper", "wav2vec2-layer"])
def test_compiled_models_say_the_same(family: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("needs a C++ compiler, which torch.compile calls on a CPU: apt-get install g++")
    engine: Any
    if family == "whisper":
        folder, engine = request.getfixturevalue("tiny_en"), WhisperEngine
        (recording,) = (request.getfixturevalue("speech_dir") / "longform").glob("*.flac")
        samples = decode_audio(recording, 16_000)[: 10 * 16_000]
    else:
        folder, engine = save(family, tmp_path), CTCEngine
        samples = babble(7.3)
    texts = {}
    for compiled in (False, True):
        config = Config(
            model=ModelConfig(name="tiny", compile=compiled),
            decode=DecodeConfig(chunk_length_s=4.0, stride_length_s=0.5, batch_size=2),
        )
        (transcript,) = transcribe(engine(config, str(folder)), [samples], config.decode, 2, PhaseClock())
        texts[compiled] = transcript.text
    assert len(texts[False]) >= 20
    assert texts[True] == texts[False]
