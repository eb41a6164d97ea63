"""The settings to transcribe with: the defaults or those a study recommends, and on top what the user says."""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

from bench.assets.models import LocalModel
from bench.config import Config, DecodeConfig, Weights, flatten
from bench.errors import ConfigError, StoreError
from bench.inference.model_files import model_files
from bench.inference.word_times import decoding_with_times
from bench.jobs import refuse_other_hop_length
from bench.measure.device import why_absent
from bench.search.compose import compose
from bench.storage import Place

# What text depends on; all else is about studies.
_PARTS = ("device", "engine", "threads", "seed", "model", "decode")
_ABOUT_STUDIES = {item.name for item in dataclasses.fields(Config)}.difference(_PARTS) | {"experiment", "hydra"}

# Text that needs no quotes, and words that without them would be something else than text.
_PLAIN = re.compile(r"[A-Za-z_]\w*")
_OTHER_TYPES = {"null", "true", "false", "nan", "inf"}


@dataclass(frozen=True)
class Settled:
    """Settings, and what belongs to them.

    Attributes:
        config: The settings; only those of :func:`deciding` are used.
        model_path: Folder of the model's files; empty for an engine without any.
        told: What the user should know of how they came about, a line each.
    """

    config: Config
    model_path: str
    told: tuple[str, ...]


def settle(overrides: Sequence[str], study_dir: Place | None = None, with_times: bool = False) -> Settled:
    """Compose the settings to transcribe with.

    A group among the overrides (``decode=vad``) takes the place of all that the study says under it, a plain setting of
    that setting alone.

    Args:
        overrides: Settings in Hydra's grammar, one value each.
        study_dir: Folder of the study whose recommended setting to take; null takes the defaults.
        with_times: Change a decoding that leaves words without times to one that tells them, where the model has one
            and the overrides do not ask for another.

    Raises:
        ConfigError: An override is wrong, or no device, model or text would come of the settings.
        StoreError: There is no such study, or nothing of it can be recommended.
        ModelError: The model's files cannot be had.
        AssetError: A packaged model cannot be had.
    """
    keys = [_key(text) for text in overrides]
    _refuse_what_is_about_studies(overrides, keys)
    _refuse_several_values(overrides)
    told: list[str] = []
    known, fingerprint = _of_study(study_dir, told) if study_dir is not None else ({}, None)
    kept = {name: value for name, value in known.items() if not _replaced(name, keys)}
    _refuse_interpolations(kept)
    composed = compose([*(f"{name}={_written(value)}" for name, value in kept.items()), *overrides])
    assert composed is not None  # only Hydra's flags, which are no overrides, ask for information alone
    config = composed.config
    if config.model.weights is Weights.random:
        raise ConfigError(f"{config.model.name} has random weights, whose text means nothing; name a trained model")
    if "device" in kept and (reason := why_absent(config.device)) is not None:
        raise ConfigError(f"the study recommends device={config.device}, which is not there: {reason}; add device=cpu")
    model = model_files(config)
    refuse_other_hop_length(config, model)
    if model and "model.name" in kept and fingerprint not in (None, model.fingerprint):
        told.append(f"{config.model.name} is not what the study measured: its files have changed since")
    config = _timed(config, model, keys, told) if with_times else config
    return Settled(config, str(model.folder) if model else "", tuple(told))


def deciding(config: Config) -> dict[str, object]:
    """Name the settings that decide what text comes of a recording, with their values."""
    return {name: value for name, value in flatten(config) if _part(name) in _PARTS}


def _of_study(study_dir: Place, told: list[str]) -> tuple[dict[str, object], str | None]:
    """Return a study's recommended settings and its model's fingerprint; say which setting it is."""
    from bench.report.choice import chosen  # its neighbours draw, which takes seconds to import

    choice = chosen(study_dir)
    told.append(f"study {study_dir.resolve().name}: {choice.sentence}")
    if choice.apart:
        told.append(f"not compared with it, since data, device or machine differ: {', '.join(choice.apart)}")
    defaults = dict(flatten(Config()))
    # A setting that is younger than the results is null in them; its default is what they were made with.
    settings = {
        name: value
        for name, value in choice.settings.items()
        if _part(name) in _PARTS and (value is not None or defaults[name] is None)
    }
    return settings, choice.model_fingerprint


def _timed(config: Config, model: LocalModel | None, keys: Sequence[str], told: list[str]) -> Config:
    """Have words told with their times, where that can be; say what was changed for it, or that it cannot be."""
    name, estimated = config.model.name, "the times of the subtitles are estimated"
    decode = decoding_with_times(config, str(model.folder) if model else "")
    if decode is None:
        told.append(f"{name} tells no times of words, so {estimated}")
        return config
    changes = dict(_changes(config.decode, decode))
    if not changes:
        return config
    written = " ".join(f"{key}={_written(value)}" for key, (_, value) in changes.items())
    if any(_replaced(key, keys) for key in changes):
        told.append(f"these settings leave words without times, so {estimated}; for real ones: {written}")
        return config
    before = " ".join(f"{key}={_written(value)}" for key, (value, _) in changes.items())
    told.append(f"{written} instead of {before}: subtitles need the times of words; to keep it, add {before}")
    return dataclasses.replace(config, decode=decode)


def _changes(before: DecodeConfig, after: DecodeConfig) -> Iterator[tuple[str, tuple[object, object]]]:
    old, new = (dict(flatten(each, "decode.")) for each in (before, after))
    yield from ((name, (old[name], new[name])) for name in old if old[name] != new[name])


def _refuse_what_is_about_studies(overrides: Sequence[str], keys: Sequence[str]) -> None:
    for text, key in zip(overrides, keys, strict=True):
        if _part(key) in _ABOUT_STUDIES:
            raise ConfigError(f"{text} is about studies; transcribe takes settings of {', '.join(_PARTS)}")


def _refuse_interpolations(known: Mapping[str, object]) -> None:
    """Refuse results that would have something put in, such as ``${oc.env:NAME}``: a secret of whoever reads them.

    Raises:
        StoreError: One would.
    """
    for name, value in known.items():
        if isinstance(value, str) and "${" in value:
            raise StoreError(
                f"the study's {name}={value} asks for another value in its place, which no run stores; give"
                f" {name} yourself"
            )


def _refuse_several_values(overrides: Sequence[str]) -> None:
    with suppress(HydraException):  # what cannot be parsed is refused, with its reason, where it is composed
        for parsed in OverridesParser.create().parse_overrides(list(overrides)):
            if parsed.is_sweep_override():
                raise ConfigError(f"{parsed.input_line} lists several values; transcribe takes one of each setting")


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _part(key: str) -> str:
    return key.partition(".")[0].partition("/")[0]


def _replaced(name: str, keys: Sequence[str]) -> bool:
    return name in keys or _part(name) in keys


def _written(value: object) -> str:
    """Write a value in the grammar of overrides."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str) or (_PLAIN.fullmatch(value) and value.casefold() not in _OTHER_TYPES):
        return str(value)
    return str(QuotedString(value, Quote.single).with_quotes())
