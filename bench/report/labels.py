"""Names and values of settings as people read them: ``decode.chunk_length_s = 10.0`` is "chunk 10 s"."""

import math
from collections.abc import Mapping

import pandas as pd

from bench.config import AUTO, DecodeConfig, Parity, Strategy, left_to_engine
from bench.printable import clean

_NAMES = {
    "model.name": "model",
    "decode.chunk_length_s": "chunk",
    "decode.stride_length_s": "stride",
    "decode.batch_size": "batch",
    "decode.num_beams": "beams",
    "data.limit": "limit of recordings",
    "data.fingerprint": "data fingerprint",
    "data.name": "data set",
    "measure.warmup": "warm-up passes",
    "measure.repeats": "timed passes",
    "finetune.max_steps": "steps",
    "finetune.batch_size": "training batch",
    "finetune.optimizer.name": "optimizer",
    "finetune.optimizer.max_grad_norm": "gradient norm up to",
    "finetune.optimizer.warmup": "warm-up share",
    "finetune.memory.device_batch_size": "device batch",
    "finetune.freeze.frontend": "frozen front end",
    "finetune.freeze.encoder_layers": "frozen encoder layers",
    "finetune.lora.rank": "LoRA rank",
    "finetune.lora.alpha": "LoRA alpha",
    "finetune.lora.dropout": "LoRA dropout",
    "finetune.augment.speed": "speed changed by up to",
    "finetune.augment.noise": "probability of noise",
    "finetune.augment.room": "probability of a room",
    "finetune.augment.microphone": "probability of another microphone",
    "env.cpu_model": "CPU",
    "env.cpu_cores": "processors",
    "env.ram_mib": "RAM",
    "env.os": "OS",
    "env.python": "Python",
    "env.cpu_usable": "usable processors",
    "env.gpu": "GPU",
    "env.gpu_driver": "GPU driver",
    "env.torch_threads": "torch threads",
}

# Said as the value alone, or with the name after it: "vad", "pipeline merge".
_PHRASES = {"engine": "{}", "decode.strategy": "{}", "decode.merge": "{} merge", "decode.parity": "{}"}

# What a strategy leaves no choice in, so that naming it would tell nothing.
_SETTLED: Mapping[object, tuple[str, ...]] = {
    Strategy.vad: ("decode.stride_length_s", "decode.merge"),
    Strategy.sequential: ("decode.chunk_length_s", "decode.stride_length_s", "decode.merge"),
}

# Numbers that may be a word, which is null in the tables.
_LEFT_TO_THE_RUN = ("decode.batch_size", "finetune.memory.device_batch_size")

NATIVE = DecodeConfig(parity=Parity.native)
"""The decoding of an engine by its own defaults; :func:`bench.config.left_to_engine` tells what they replace."""

_AXES = {"decode.chunk_length_s": "chunk length", "decode.stride_length_s": "stride on each side"}

# The suffixes that names of columns carry (see the vocabulary of the configuration), and the unit each stands for.
_UNITS = {"_s": "s", "_mib": "MiB", "_hz": "Hz", "_w": "W", "_j": "J", "_pct": "%"}


def plain(value: object) -> object:
    """Undo what a data frame does to a value: NaN is null again, and an integer beside nulls is an integer again."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    if hasattr(value, "item"):
        value = value.item()
    return int(value) if isinstance(value, float) and value.is_integer() else value


def name_of(column: str) -> str:
    """Name a column for people, without its unit: ``measure.sample_hz`` is "sample"."""
    last = column.rpartition(".")[2]
    if suffix := _suffix(last):
        last = last.removesuffix(suffix)
    return _NAMES.get(column, last.replace("_", " "))


def axis_of(column: str) -> str:
    """Label an axis that shows a setting: name and unit."""
    suffix = _suffix(column)
    name = _AXES.get(column, name_of(column))
    return name[:1].upper() + name[1:] + (f" [{_UNITS[suffix]}]" if suffix else "")


def value_of(value: object, column: str = "") -> str:
    """Write a value for people, with the unit its column's name implies.

    Null is "none" for what an environment or a data set lacks, "auto" for a batch size left to the run, and "unset" for
    a setting left to a library.
    """
    value = plain(value)
    suffix = _suffix(column)
    if value is None and column in _LEFT_TO_THE_RUN:
        return AUTO
    if value is None:
        return "none" if column.startswith(("env.", "data.")) else "unset"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float):
        return f"{value:.6g}" + (f" {_UNITS[suffix]}" if suffix else "")
    return clean(str(value))


def describe(settings: Mapping[str, object]) -> str:
    """Write settings as one phrase: "chunk 10 s, stride 1 s"."""
    return ", ".join(
        _PHRASES.get(key, f"{name_of(key)} {{}}").format(value_of(value, key)) for key, value in settings.items()
    )


def setting_label(settings: Mapping[str, object]) -> str:
    """Name a setting by what it chooses: as :func:`describe`, without what goes without saying."""
    strategy = settings.get("decode.strategy")
    unsaid = _SETTLED.get(strategy, ())
    if strategy == Strategy.chunked and {"decode.chunk_length_s", "decode.stride_length_s"} <= settings.keys():
        unsaid = ("decode.strategy",)  # "chunk 20 s, stride 1 s" is nothing else
    if settings.get("decode.parity") == Parity.native:  # the rest is the engine's own
        unsaid = tuple(key for key in settings if left_to_engine(NATIVE, key))
    elif len(settings) > 1:  # that engines decode alike goes without saying
        unsaid = (*unsaid, "decode.parity")
    return describe({key: value for key, value in settings.items() if key not in unsaid})


def _suffix(column: str) -> str:
    return next((suffix for suffix in _UNITS if column.endswith(suffix)), "")
