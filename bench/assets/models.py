"""Where a model's files are, before anything runs: what is fetched or unpacked here is no part of a run's load time."""

from dataclasses import dataclass
from pathlib import Path

from bench.assets import fingerprint
from bench.assets.weights import ensure_weights, is_packaged
from bench.errors import ModelError

# All that a processor and safetensors weights consist of; never pickled weights, never code.
_WANTED = ("*.json", "*.txt", "*.model", "*.safetensors")


@dataclass(frozen=True)
class LocalModel:
    """A model's folder on this machine, and a name for its content."""

    folder: Path
    fingerprint: str


def locate(name: str) -> LocalModel:
    """Find a model's files: in a package, in a local folder, or on a model hub, from which they are fetched once.

    Args:
        name: ``packaged/...``, the path of a folder, or a model-hub id.

    Raises:
        AssetError: A packaged model is missing or damaged.
        ModelError: There is no such folder, or the hub cannot be reached or has no such model.
    """
    if is_packaged(name):
        folder = ensure_weights(name)
    elif (local := Path(name).expanduser()).is_dir():
        folder = local.resolve()
    elif name.startswith(("/", "./", "../", "~")):
        raise ModelError(f"model.name={name} is no folder; give a local model's folder or a model-hub id")
    else:
        folder = _fetched(name)
    files = sorted(path for pattern in _WANTED for path in folder.glob(pattern))
    if not any(path.suffix == ".safetensors" for path in files):
        raise ModelError(
            f"model.name={name}: {folder} holds no safetensors weights; convert them, or name another model"
        )
    return LocalModel(
        folder, fingerprint.of_parts(part for path in files for part in (path.name, fingerprint.of_file(path)))
    )


def _fetched(name: str) -> Path:
    import huggingface_hub  # slow to import, and of no use to who brings the weights along
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=list(_WANTED)))
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"model.name={name} is no local folder, and the model hub does not give it ({reason}); check name and"
            " network, or use model=whisper_tiny_en, which needs no hub"
        ) from error
