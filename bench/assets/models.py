"""Where a model's files are, before anything runs: what is fetched or unpacked here is no part of a run's load time."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.assets import fingerprint
from bench.assets.architectures import ARCHITECTURES, ensure_architecture, is_architecture
from bench.assets.weights import ensure_weights, is_packaged
from bench.config import Weights
from bench.errors import ModelError

_SHIPPED: Final = {"packaged/wav2vec2-demo": Path(__file__).parent / "wav2vec2_demo"}
"""Models that are part of this package, as ``experiment=train_demo_ctc`` made them."""

# Where transformers keeps a feature extractor's settings: by themselves, or within those of the whole processor.
_EXTRACTOR_FILES = ("preprocessor_config.json", "processor_config.json")

# All that a processor, an n-gram model and safetensors weights consist of; never pickled weights, never code.
_SMALL = ("*.json", "*.txt", "*.model")
_WANTED = (*_SMALL, "language_model/*", "*.safetensors")


@dataclass(frozen=True)
class LocalModel:
    """A model's folder on this machine, and a name for its content."""

    folder: Path
    fingerprint: str


def locate(name: str, weights: Weights = Weights.pretrained) -> LocalModel:
    """Find a model's files: in a package, in a local folder, or on a model hub, from which they are fetched once.

    Args:
        name: ``packaged/...``, ``architecture/...``, the path of a folder, or a model-hub id.
        weights: With random ones, configuration and processor files are enough; weights are neither fetched nor part of
            the fingerprint.

    Raises:
        AssetError: A packaged model is missing or damaged, or the cache cannot be written.
        ModelError: There is no such folder or architecture, it lacks what is needed, or the hub cannot be reached or
            has no such model.
    """
    wanted = _SMALL if weights is Weights.random else _WANTED
    if name in _SHIPPED:
        folder = _SHIPPED[name]
    elif is_architecture(name):
        folder = _architecture(name, weights)
    elif is_packaged(name):
        folder = ensure_weights(name)
    elif (local := Path(name).expanduser()).is_dir():
        folder = local.resolve()
    elif name.startswith(("/", "./", "../", "~")):
        raise ModelError(f"model.name={name} is no folder; give a local model's folder or a model-hub id")
    else:
        folder = fetched(name, wanted)
    files = sorted(path for pattern in wanted for path in folder.glob(pattern))
    if weights is Weights.random and not (folder / "config.json").is_file():
        raise ModelError(
            f"model.name={name}: {folder} holds no config.json to build random weights from; name another model"
        )
    if weights is Weights.pretrained and not any(path.suffix == ".safetensors" for path in files):
        raise ModelError(
            f"model.name={name}: {folder} holds no safetensors weights; convert them, or name another model"
        )
    return LocalModel(
        folder, fingerprint.of_parts(part for path in files for part in (path.name, fingerprint.of_file(path)))
    )


def is_multilingual(folder: Path) -> bool:
    """Read from a model's files whether it must be told, or finds out, which language it hears.

    Args:
        folder: The model's folder, as :func:`locate` gives it.

    Raises:
        ModelError: A file is no JSON.
    """
    path = folder / "generation_config.json"
    return path.is_file() and bool(_json(path).get("is_multilingual"))


def own_hop_length(folder: Path) -> int | None:
    """Read from a model's files how many samples lie between its feature frames; no model library takes part.

    Args:
        folder: The model's folder, as :func:`locate` gives it.

    Returns:
        The hop length in samples; null where the files name none, as those of models that read the waveform itself.

    Raises:
        ModelError: A file is no JSON.
    """
    for path in (folder / name for name in _EXTRACTOR_FILES):
        if not path.is_file():
            continue
        settings = _json(path)
        hop_length = settings.get("feature_extractor", settings).get("hop_length")
        if hop_length is not None:
            return int(hop_length)
    return None


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); fetch the model anew") from error


def _architecture(name: str, weights: Weights) -> Path:
    if name not in ARCHITECTURES:
        raise ModelError(f"model.name={name} is unknown; use one of {', '.join(ARCHITECTURES)}")
    if weights is not Weights.random:
        raise ModelError(
            f"model.name={name} is a shape without weights; add model.weights=random to measure its time and memory, or"
            " name a trained model"
        )
    return ensure_architecture(name)


def fetched(name: str, wanted: Sequence[str]) -> Path:
    """Fetch files of a model from the model hub, once.

    Args:
        name: Model-hub id.
        wanted: Patterns of the files' names.

    Raises:
        ModelError: The hub cannot be reached or has no such model.
    """
    import huggingface_hub  # slow to import, and of no use to who brings the weights along
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=list(wanted)))
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"model.name={name} is no local folder, and the model hub does not give it ({reason}); check name and"
            " network, or use model=whisper_tiny_en, which needs no hub"
        ) from error
