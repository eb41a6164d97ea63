"""The parity lock: which settings each engine honours. What one cannot honour is refused, never silently dropped.

The harness's engines are listed here; those of other packages tell for themselves (:mod:`bench.inference.engines`).
A setting that is not listed must be left at its default. Whether a *model* can honour a setting (a language, say) its
engine finds out when it is loaded.
"""

import dataclasses
import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from bench.config import Config, DecodeConfig, ModelConfig, flatten, left_to_engine
from bench.config import Engine as Name
from bench.errors import ImpossiblePoint
from bench.inference.engines import Honoured, honoured

# What the core does whatever the engine: it finds the model, cuts recordings, batches windows and checks lengths.
_CORE: Honoured = {
    "model.name": None,
    "model.max_window_s": None,
    "model.hop_length": None,
    "decode.chunk_length_s": None,
    "decode.stride_length_s": None,
    "decode.batch_size": None,
}

_LOCKED_WHISPER: Honoured = {
    "model.weights": {"pretrained"},
    # The engines' own, of which they have one only; sdpa is the default and names none of transformers' here.
    "model.attention": {"sdpa"},
    "model.compile": {False},
    "decode.strategy": {"chunked", "vad"},
    "decode.merge": None,
    "decode.temperature_fallback": {False},
    "decode.timestamps": {False},
    "decode.language": None,
    "decode.task": None,
}

BUILT_IN: Mapping[str, Honoured] = {
    Name.transformers: {
        "model.dtype": None,
        **{f"model.{name}": None for name in ("weights", "attention", "compile")},
        **{f"decode.{field.name}": None for field in dataclasses.fields(DecodeConfig)},
    },
    Name.faster_whisper: {
        **_LOCKED_WHISPER,
        "model.dtype": None,
        "decode.num_beams": None,
        "decode.parity": None,
    },
    Name.onnxruntime: {
        **_LOCKED_WHISPER,
        "model.dtype": {"float32", "int8"},
        "decode.num_beams": {1},
        "decode.parity": {"locked"},
    },
    # It hears nothing, and lets everything be tried.
    Name.fake: {
        **{f"model.{field.name}": None for field in dataclasses.fields(ModelConfig)},
        **{f"decode.{field.name}": None for field in dataclasses.fields(DecodeConfig)},
    },
}
"""The values of each setting that the harness's engines honour beside the core's own; null is any."""

_FLOATS = ("float32", "bfloat16", "float16")
_DTYPES: Mapping[str, Mapping[str, Collection[str]]] = {
    # Products of whole numbers are made on a CPU alone; see bench/inference/int8.py.
    Name.transformers: {"cpu": (*_FLOATS, "int8"), "cuda": _FLOATS, "mps": _FLOATS},
    # On a CPU, CTranslate2 would compute in float32 instead and not tell.
    Name.faster_whisper: {"cpu": ("float32", "int8"), "cuda": (*_FLOATS, "int8")},
    Name.onnxruntime: {"cpu": ("float32", "int8")},
}
"""Numeric types that an engine computes in on each kind of device; a device that is not listed it does not run on."""


@dataclass(frozen=True)
class Refusal:
    """A setting that an engine cannot honour.

    Attributes:
        setting: Its dotted name.
        value: What was asked for.
        engines: The harness's engines that honour it, on the same device; there may be none.
        why: What is the matter, where that is more than the value.
    """

    setting: str
    value: Any
    engines: tuple[str, ...]
    why: str = ""

    def __str__(self) -> str:
        able = f"{' and '.join(self.engines) or 'no engine'} can"
        return f"{self.setting}={'null' if self.value is None else self.value} ({self.why or able})"


def require(config: Config, varied: Collection[str] = ()) -> None:
    """Refuse a configuration whose engine cannot honour it.

    Args:
        config: The settings.
        varied: Names of settings that vary within the study.

    Raises:
        ImpossiblePoint: The engine cannot honour a setting; the message lists those that can.
        ConfigError: There is no such engine.
    """
    if refused := refusals(config, varied):
        told = " and ".join(map(str, refused))
        raise ImpossiblePoint(f"engine={config.engine} cannot honour {told}; change the engine or the value")


def refusals(config: Config, varied: Collection[str] = ()) -> list[Refusal]:
    """List what a configuration's engine cannot honour of it.

    With ``decode.parity=native`` the engine takes none of the settings of decoding but language and task, so they do
    not matter; unless they vary, when only the default is left, lest the same run be repeated under another name.

    Args:
        config: The settings.
        varied: Names of settings, and of groups of them, that vary within the study.

    Raises:
        ConfigError: There is no such engine.
        ImpossiblePoint: The package that offers the engine cannot be imported.
    """
    asked, defaults = _asked(config), _defaults()
    native = {name for name in asked if left_to_engine(config.decode, name)}
    refused = [
        Refusal(name, value, tuple(_able(config, name, value)))
        for name, value in asked.items()
        if name not in native and not _honours(config.engine, config, name, value)
    ]
    varies = native if "decode" in varied else native.intersection(varied)
    refused += [
        Refusal(name, asked[name], (), "decode.parity=native leaves it to the engine; vary it under locked")
        for name in sorted(varies)
        if asked[name] != defaults[name]
    ]
    return refused


def _asked(config: Config) -> dict[str, Any]:
    return {"device": config.device, **dict(flatten(config.model, "model.")), **dict(flatten(config.decode, "decode."))}


@functools.cache  # a grid asks for them at each of its points
def _defaults() -> Mapping[str, Any]:
    return _asked(Config())


def _able(config: Config, name: str, value: Any) -> list[str]:
    """Name engines of the harness that honour a setting; not the one that only pretends to hear."""
    return [engine for engine in BUILT_IN if engine != Name.fake and _honours(engine, config, name, value)]


def _honours(engine: str, config: Config, name: str, value: Any) -> bool:
    kind = config.device.partition(":")[0]
    if name == "device":
        if engine in BUILT_IN:
            return engine not in _DTYPES or kind in _DTYPES[engine]
        value = kind
    if name == "model.dtype" and value not in _DTYPES.get(engine, {}).get(kind, (value,)):
        return False
    table = {**_CORE, **(BUILT_IN[engine] if engine in BUILT_IN else honoured(engine))}
    if name not in table:
        return bool(value == dict(flatten(Config()))[name])
    values = table[name]
    return values is None or value in values
