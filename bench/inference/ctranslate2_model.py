"""Loading a Whisper model under CTranslate2, and what CTranslate2 does not tell of it."""

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.assets.ctranslate2 import parse_model
from bench.config import Config, DType
from bench.errors import AssetError, ModelError

_MIB = 1024 * 1024

# By CTranslate2's names: "int8" alone leaves the type of what stays unrounded to the device.
_COMPUTE_TYPES = {
    DType.float32: "float32",
    DType.float16: "float16",
    DType.bfloat16: "bfloat16",
    DType.int8: "int8_float32",
}


def whisper_model(config: Config, model_path: str) -> Any:
    """Load a model as faster-whisper's ``WhisperModel``, on its device and with its threads.

    Args:
        config: The trial's configuration.
        model_path: A folder in CTranslate2's format.

    Raises:
        AssetError: faster-whisper is not installed.
        ModelError: The model cannot be loaded.
    """
    try:
        from faster_whisper import WhisperModel
    except ImportError as error:
        raise AssetError(
            f"engine=faster_whisper needs faster-whisper ({error}); run: pip install 'asr-sweep[faster-whisper]'"
        ) from error
    import ctranslate2

    ctranslate2.set_random_seed(config.seed)
    device, _, index = config.device.partition(":")
    try:
        return WhisperModel(
            model_path,
            device=device,
            device_index=int(index or 0),
            compute_type=_COMPUTE_TYPES[config.model.dtype],
            cpu_threads=config.threads or 0,
        )
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"model.name={config.model.name} cannot be loaded by CTranslate2 ({reason:.300}); give a folder that"
            " ct2-transformers-converter wrote, or use engine=transformers"
        ) from error


def weights_mib(folder: Path, dtype: DType) -> float | None:
    """Memory of the weights in their numeric type: CTranslate2 converts a file of another type as it loads it.

    Null where the file is of a version of its format that is not known here.
    """
    with (folder / "model.bin").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            variables = parse_model(content, str(folder)).variables
        except AssetError:
            return None
        sizes = [(name, each.shape, each.size) for name, each in variables.items()]
        del variables  # views of the file, which must be gone before it is closed
    total = 0
    for name, shape, size in sizes:
        if name.endswith("_scale"):
            continue
        matrix = len(shape) == 2 and name.endswith("weight")
        if dtype is DType.int8 and matrix:
            total += size + 4 * shape[0]  # and a scale a row
        else:
            total += size * (2 if dtype in (DType.float16, DType.bfloat16) else 4)
    return total / _MIB


@contextmanager
def memory_errors() -> Iterator[None]:
    """Let a GPU that is full be told as such: CTranslate2 has no error of its own for it."""
    try:
        yield
    except RuntimeError as error:
        if "out of memory" in str(error):
            raise MemoryError(str(error)) from error
        raise
