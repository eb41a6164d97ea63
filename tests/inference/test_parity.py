"""The parity lock: of every engine, every setting of model and decoding changes what it does, or is refused."""

import dataclasses
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import WhisperConfig, WhisperForConditionalGeneration

from bench.assets.models import LocalModel
from bench.assets.weights import ctranslate2_folder
from bench.config import (
    Attention,
    Config,
    DecodeConfig,
    DType,
    Engine,
    Merge,
    ModelConfig,
    Parity,
    Strategy,
    Weights,
    flatten,
    left_to_engine,
)
from bench.errors import BenchError, ImpossiblePoint
from bench.inference import native, onnx_runtime, parity, whisper
from bench.inference.engines import load_engine
from bench.inference.model_files import model_files
from bench.inference.transcribe import transcribe
from bench.inference.whisper_decoder import greedy
from bench.jobs import refuse_other_hop_length, trial_id
from bench.measure.clock import PhaseClock
from bench.validation import validate

ENGINES = [engine for engine in Engine if engine is not Engine.fake]
RATE_HZ = 16_000
HEADS, HEAD_SIZE, FRAMES = 6, 64, 4

BASE = Config(
    threads=1,
    model=ModelConfig(name="base"),
    decode=DecodeConfig(chunk_length_s=2.0, stride_length_s=0.0, batch_size=2),
)
RECORDINGS = [np.full(int(seconds * RATE_HZ), 0.1, np.float32) for seconds in (3.0, 1.0)]

# Another value of each setting, with what must change along with it.
OTHER: dict[str, dict[str, Any]] = {
    "model.name": {"name": "another"},
    "model.weights": {"weights": Weights.random},
    "model.dtype": {"dtype": DType.int8},
    "model.attention": {"attention": Attention.eager},
    "model.compile": {"compile": True},
    "model.max_window_s": {"max_window_s": 1.0},
    "model.hop_length": {"hop_length": 100},
    "decode.strategy": {"strategy": Strategy.sequential, "chunk_length_s": 30.0},
    "decode.chunk_length_s": {"chunk_length_s": 3.0},
    "decode.stride_length_s": {"stride_length_s": 0.5},
    "decode.merge": {"merge": Merge.pipeline},
    "decode.batch_size": {"batch_size": 1},
    "decode.num_beams": {"num_beams": 3},
    "decode.temperature_fallback": {"temperature_fallback": True},
    "decode.timestamps": {"timestamps": True},
    "decode.language": {"language": "de"},
    "decode.task": {"task": "translate"},
    "decode.parity": {"parity": Parity.native},
}


def with_other(setting: str) -> Config:
    group, _, _ = setting.partition(".")
    return replace(BASE, **{group: replace(getattr(BASE, group), **OTHER[setting])})


def test_every_setting_is_tried() -> None:
    fields = {
        f"{group}.{field.name}"
        for group, record in (("model", ModelConfig), ("decode", DecodeConfig))
        for field in dataclasses.fields(record)
    }
    assert OTHER.keys() == fields


@pytest.fixture(scope="module")
def multilingual(tiny_en: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A multilingual Whisper of 8 numbers a token: the small files of the real one, whose tokens have languages too."""
    folder = tmp_path_factory.mktemp("multilingual")
    for path in tiny_en.glob("*.json"):
        (folder / path.name).write_bytes(path.read_bytes())
    settings = json.loads((folder / "generation_config.json").read_text())
    choices = {
        "is_multilingual": True,
        "lang_to_id": {"<|en|>": 50258, "<|de|>": 50260},
        "task_to_id": {"transcribe": 50358, "translate": 50357},
        "alignment_heads": [[0, 0]],
        "max_length": 8,
    }
    (folder / "generation_config.json").write_text(json.dumps(settings | choices))
    shape = WhisperConfig.from_pretrained(folder)
    shape.update({"d_model": 8, "encoder_layers": 1, "decoder_layers": 1, "max_target_positions": 16})
    shape.update({f"{part}_{size}": 2 for part in ("encoder", "decoder") for size in ("attention_heads", "ffn_dim")})
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(shape)
    model.generation_config = transformers.GenerationConfig.from_pretrained(folder)
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What an engine asked of the library beneath it, which is replaced where it would need weights."""
    noted: list[object] = []
    monkeypatch.setitem(
        sys.modules, "faster_whisper", SimpleNamespace(WhisperModel=lambda *a, **k: _Ct2(noted, *a, **k))
    )
    view = SimpleNamespace(from_array=lambda features: features)
    monkeypatch.setitem(
        sys.modules, "ctranslate2", SimpleNamespace(StorageView=view, set_random_seed=lambda seed: noted.append(seed))
    )
    monkeypatch.setattr(onnx_runtime, "open_graph", lambda config, path: _Graph(noted, config, path))

    def ensure_export(model: LocalModel, dtype: DType) -> Path:
        noted.append((model.folder.name, dtype))
        return model.folder

    monkeypatch.setattr("bench.inference.model_files.ensure_export", ensure_export)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: noted.append("compile"))

    def pipeline(task: str, **_: Any) -> Any:
        def recognise(recording: Any, **options: Any) -> dict[str, str]:
            noted.append((task, len(recording), options))
            return {"text": "word"}

        return recognise

    monkeypatch.setattr(native, "transformers", SimpleNamespace(pipeline=pipeline))
    generate = WhisperForConditionalGeneration.generate

    def generating(self: Any, features: Any, **options: Any) -> Any:
        noted.append({key: value for key, value in options.items() if key != "attention_mask"})
        return generate(self, features, **options)

    def decoding(decoder: Any, memory: Any, prefix: Any, *others: Any) -> Any:
        noted.append(prefix.tolist())
        return greedy(decoder, memory, prefix, *others)

    monkeypatch.setattr(WhisperForConditionalGeneration, "generate", generating)
    monkeypatch.setattr(whisper, "greedy", decoding)
    return noted


class _Ct2:
    """Stands for ``faster_whisper.WhisperModel`` and for the ``ctranslate2.models.Whisper`` within."""

    n_mels, is_multilingual, supported_languages = 80, True, ["en", "de"]

    def __init__(self, noted: list[object], path: str, **options: Any) -> None:
        noted.append((path, options))
        self._noted, self.model = noted, self
        self.feature_extractor = SimpleNamespace(sampling_rate=RATE_HZ)

    def encode(self, features: Any) -> Any:
        self._noted.append(("encode", features.shape))
        return features

    def detect_language(self, encoded: Any) -> Any:
        return [[("<|en|>", 1.0)]] * len(encoded)

    def generate(self, _: Any, prompts: list[list[int]], **options: Any) -> Any:
        self._noted.append((prompts, options))
        return [SimpleNamespace(sequences_ids=[[1000]])] * len(prompts)

    def align(self, _: Any, start: list[int], texts: list[list[int]], rows: list[int]) -> Any:
        self._noted.append(("align", start, texts, rows))
        return [SimpleNamespace(alignments=[(0, 0), (1, 5)])] * len(texts)

    def transcribe(self, samples: Any, **options: Any) -> Any:
        self._noted.append((len(samples), options))
        return [], None


class _Graph:
    """Stands for a graph under onnxruntime: one word of one token, and the end."""

    def __init__(self, noted: list[object], config: Config, path: Path) -> None:
        noted.append((config.threads, path.name))
        self._noted, self._path = noted, path

    def get_outputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="cross_key.0"), SimpleNamespace(name="cross_value.0")]

    def run(self, names: list[str] | None, feeds: dict[str, Any]) -> list[Any]:
        if self._path.name == "encoder.onnx":
            count = len(feeds["features"])
            self._noted.append(("encode", count))
            shapes = ((count, HEADS, HEAD_SIZE, FRAMES), (count, HEADS, FRAMES, HEAD_SIZE))
            return [np.zeros(shape, np.float32) for shape in shapes]
        tokens = feeds["tokens"]
        self._noted.append(tokens.tolist())
        scores = np.zeros((len(tokens), 51_864), np.float32)
        scores[:, 50_256 if (tokens == 1000).all() else 1000] = 1.0
        return [scores, np.ones((len(tokens), 1, FRAMES), np.float32), feeds["key.0"], feeds["value.0"]]


def behaviour(config: Config, folder: Path, noted: list[object]) -> str:
    """What an engine does of a configuration; the message, where it is refused."""
    noted.clear()
    place = {"base": folder, "another": Path(f"{folder}-another")}[config.model.name]
    try:
        validate(config)
        parity.require(config)
        refuse_other_hop_length(config, LocalModel(folder, ""))
        if config.engine == Engine.onnxruntime:  # its type is settled where its files are made
            model_files(replace(config, model=replace(config.model, name=str(place))))
        engine = load_engine(config, str(place))
        clock = PhaseClock()
        said = transcribe(engine, RECORDINGS, config.decode, int(config.decode.batch_size), clock)
    except BenchError as error:
        return f"{type(error).__name__}: {error}"
    if model := getattr(engine, "_model", None) if config.engine == Engine.transformers else None:
        noted += sorted({str(each.dtype) for each in [*model.parameters(), *model.buffers()]})
        noted += [
            getattr(engine, "_prompt", None),
            model.config._attn_implementation,
            model.model.encoder.conv1.weight.sum().item(),
        ]
    return repr((noted, said, [lap.windows for lap in clock.laps]))


@pytest.fixture(scope="module")
def folders(multilingual: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Engine, Path]:
    """What each engine loads; beside it, another of the same content."""
    ctranslate2 = tmp_path_factory.mktemp("ctranslate2") / "model"
    ctranslate2.mkdir()
    tokenizer = ctranslate2_folder("packaged/whisper-tiny.en") / "tokenizer.json"
    (ctranslate2 / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    (ctranslate2 / "model.bin").write_bytes(b"not read by what stands for CTranslate2")
    for folder in (multilingual, ctranslate2):
        Path(f"{folder}-another").symlink_to(folder, target_is_directory=True)
    return {engine: ctranslate2 if engine is Engine.faster_whisper else multilingual for engine in ENGINES}


@pytest.fixture(scope="module")
def usual() -> dict[Engine, str]:
    """What each engine does of the base configuration, once somebody has looked."""
    return {}


@pytest.mark.parametrize("setting", OTHER)
@pytest.mark.parametrize("engine", ENGINES)
def test_every_setting_reaches_every_engine_or_is_refused(
    engine: Engine, setting: str, folders: dict[Engine, Path], calls: list[object], usual: dict[Engine, str]
) -> None:
    base, other = (replace(config, engine=engine.value) for config in (BASE, with_other(setting)))
    assert not parity.refusals(base)
    if engine not in usual:
        usual[engine] = behaviour(base, folders[engine], calls)
    asked, got = behaviour(other, folders[engine], calls), usual[engine]
    assert "Error" not in got
    # Which files a name stands for is the harness's own business, and the folders are alike.
    assert asked != got or setting == "model.name", "neither honoured nor refused"
    if asked.startswith(("ImpossiblePoint", "ConfigError")):
        assert f"{setting}=" in asked  # the refusal is of this setting, and not of another
    if refused := parity.refusals(other):
        assert {one.setting for one in refused} == {setting}
        able = set(refused[0].engines)
        assert engine not in able
        assert able, "the transformers engine, at least, honours every one of these"
        assert all(not parity.refusals(replace(other, engine=each)) for each in able)


def test_a_refusal_names_the_engines_that_can() -> None:
    asked = replace(BASE, engine="onnxruntime", decode=replace(BASE.decode, num_beams=5))
    with pytest.raises(
        ImpossiblePoint,
        match=r"onnxruntime cannot honour decode.num_beams=5 \(transformers and faster_whisper can\)",
    ):
        parity.require(asked)


@pytest.mark.parametrize(
    ("engine", "device", "dtype", "can"),
    [
        ("transformers", "cpu", DType.int8, True),
        ("transformers", "cuda", DType.int8, False),
        ("transformers", "cuda:1", DType.bfloat16, True),
        ("faster_whisper", "cpu", DType.float16, False),  # it would compute in float32
        ("faster_whisper", "cuda", DType.float16, True),
        ("faster_whisper", "mps", DType.float32, False),
        ("onnxruntime", "cuda", DType.float32, False),
        ("onnxruntime", "cpu", DType.bfloat16, False),
        ("fake", "mps", DType.int8, True),
    ],
)
def test_devices_and_types(engine: str, device: str, dtype: DType, can: bool) -> None:
    config = Config(engine=engine, device=device, model=ModelConfig(dtype=dtype))
    assert (not parity.refusals(config)) is can


def test_under_an_engines_own_defaults_only_language_and_task_are_ours() -> None:
    own = DecodeConfig(parity=Parity.native)
    left = {name for name, _ in flatten(Config()) if left_to_engine(own, name)}
    assert left == {f"decode.{field.name}" for field in dataclasses.fields(DecodeConfig)} - {
        "decode.language",
        "decode.task",
        "decode.parity",
    }
    assert not any(left_to_engine(DecodeConfig(), name) for name, _ in flatten(Config()))


def test_what_is_left_to_an_engine_may_not_vary() -> None:
    config = Config(engine="faster_whisper", decode=DecodeConfig(parity=Parity.native, num_beams=5))
    assert not parity.refusals(config)
    (refusal,) = parity.refusals(config, ["decode.num_beams", "model.dtype"])
    assert refusal.setting == "decode.num_beams"
    default = replace(config, decode=replace(config.decode, num_beams=1))
    assert not parity.refusals(default, ["decode.num_beams"])
    vad = replace(config, decode=replace(default.decode, strategy=Strategy.vad))
    assert [one.setting for one in parity.refusals(vad, ["decode"])] == ["decode.strategy"]  # the group varies


def test_a_trial_under_an_engines_own_defaults_has_one_name() -> None:
    def name(**decode: Any) -> str:
        return trial_id(Config(engine="faster_whisper", decode=DecodeConfig(**decode)), "model", "data")

    assert name(parity=Parity.native, num_beams=5) == name(parity=Parity.native)
    assert name(parity=Parity.native, language="de") != name(parity=Parity.native)
    assert len({name(), name(num_beams=5), name(parity=Parity.native)}) == 3


def test_trials_keep_the_names_they_had_before_there_was_a_choice() -> None:
    # Computed by the harness as it was before decode.parity came.
    assert trial_id(Config(), "model", "data") == "55f45397c40e"
