"""Where the files of a model are, in the form that an engine reads; found or made before anything runs."""

import json
from pathlib import Path

from bench.assets import fingerprint
from bench.assets.models import LocalModel, fetched, locate
from bench.assets.weights import ensure_ctranslate2, is_packaged
from bench.config import Config, Engine
from bench.errors import ModelError
from bench.inference.engines import finds_own_models
from bench.inference.onnx_export import ensure_export

# What CTranslate2 and faster-whisper read of a folder. Its model.bin is a format of its own and holds no code.
_CTRANSLATE2_FILES = ("model.bin", "config.json", "preprocessor_config.json", "tokenizer.json", "vocabulary.*")
_NEEDED = ("model.bin", "config.json", "tokenizer.json")


def model_files(config: Config) -> LocalModel | None:
    """Find the files of a configuration's model, fetch them, or make them from those of transformers.

    Args:
        config: Names the engine and the model.

    Returns:
        The folder that the engine loads, and the fingerprint of the model; null for an engine that finds its own. What
        is exported to ONNX keeps the fingerprint of the weights it is made from.

    Raises:
        AssetError: A packaged model is missing or damaged, what exports is not installed, or the cache cannot be
            written.
        ModelError: The model cannot be had in the engine's format.
        ConfigError: There is no such engine.
    """
    if finds_own_models(config.engine):
        return None
    if config.engine == Engine.faster_whisper:
        return _ctranslate2(config.model.name)
    model = locate(config.model.name, config.model.weights)
    if config.engine != Engine.onnxruntime:
        return model
    return LocalModel(ensure_export(model, config.model.dtype), model.fingerprint)


def _ctranslate2(name: str) -> LocalModel:
    if is_packaged(name):
        # Transformers' form of a packaged model is made from these very files, so that one name serves for both.
        return LocalModel(ensure_ctranslate2(name), locate(name).fingerprint)
    local = Path(name).expanduser()
    if local.is_dir():
        folder = local.resolve()
    elif name.startswith(("/", "./", "../", "~")):
        raise ModelError(f"model.name={name} is no folder; give a local model's folder or a model-hub id")
    else:
        folder = fetched(name, _CTRANSLATE2_FILES)
    missing = [file for file in _NEEDED if not (folder / file).is_file()]
    if missing:
        raise ModelError(
            f"model.name={name}: {folder} lacks {missing[0]}, and engine=faster_whisper reads CTranslate2's format;"
            f" make it with: ct2-transformers-converter --model {name} --output_dir {Path(name).name}-ct2"
            " --copy_files tokenizer.json preprocessor_config.json"
        )
    _refuse_other_tasks(folder, name)
    files = sorted(path for pattern in _CTRANSLATE2_FILES for path in folder.glob(pattern))
    return LocalModel(
        folder, fingerprint.of_parts(part for path in files for part in (path.name, fingerprint.of_file(path)))
    )


def _refuse_other_tasks(folder: Path, name: str) -> None:
    """CTranslate2 also holds translators and language models; of Whisper's, the settings list what is suppressed."""
    path = folder / "config.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); fetch the model anew") from error
    if not isinstance(settings, dict) or "suppress_ids" not in settings:
        raise ModelError(
            f"model.name={name}: {path} is not that of a Whisper model, and engine=faster_whisper runs no other; use"
            " engine=transformers or engine=onnxruntime"
        )
