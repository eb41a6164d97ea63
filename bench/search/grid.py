"""The grid: every combination of a space's values, checked, impossible ones set aside with their reason."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bench.config import Config
from bench.errors import ConfigError, ImpossiblePoint
from bench.measure.device import why_absent
from bench.search.space import Space
from bench.validation import validate

Compose = Callable[[Sequence[str]], DictConfig]
"""Composes a configuration from overrides, without Hydra's own node."""

# What a run is made of; the rest (study, measure, score, executor, results) holds for a study as a whole.
_PARTS = {item.name for item in fields(Config)}
_SWEEPABLE = ("device", "engine", "threads", "seed", "model", "data", "decode")


@dataclass(frozen=True)
class Skipped:
    """A point of the grid that no run can honour."""

    settings: Mapping[str, Any]
    reason: str


@dataclass(frozen=True)
class Grid:
    """The points to run, and those that cannot be run."""

    points: tuple[Config, ...]
    skipped: tuple[Skipped, ...]


def enumerate_grid(space: Space, compose: Compose) -> Grid:
    """Build every point of a space.

    Hydra composes once for each combination of groups; plain values are laid over the result through its typed schema,
    which is a hundred times faster.

    Raises:
        ConfigError: A key is unknown, a value has the wrong type, a setting cannot vary, or no point is possible.
    """
    for key in (*space.groups, *space.values):
        part = key.partition(".")[0].partition("/")[0]
        known = part in _PARTS or key in space.groups  # an unknown key gets its own message, with a suggestion
        if known and part not in _SWEEPABLE:
            raise ConfigError(f"{key} holds for a study as a whole and cannot vary within it; give it one value")
    points: list[Config] = []
    skipped: list[Skipped] = []
    for choices in _combinations(space.groups):
        base = compose([*space.fixed, *(f"{group}={choice}" for group, choice in choices.items())])
        for values in _combinations(space.values):
            config = to_config(_overlaid(base, values))
            try:
                validate(config)
                if "device" in space.values:
                    _require_device(config.device)
            except ImpossiblePoint as error:
                skipped.append(Skipped({**choices, **values}, str(error)))
            else:
                points.append(config)
    if not points:
        raise ConfigError(f"no point of this grid can run; the first of {len(skipped)}: {skipped[0].reason}")
    return Grid(tuple(dict.fromkeys(points)), tuple(skipped))


def to_config(composed: DictConfig) -> Config:
    """Turn a composed configuration into its frozen dataclass.

    Raises:
        ConfigError: A setting without a default was not given, or was added to the schema.
    """
    try:
        config = OmegaConf.to_object(composed)
    except OmegaConfBaseException as error:
        raise ConfigError(
            f"{str(error).splitlines()[0]}; give it a value ('asr-sweep run --cfg job' lists all settings)"
        ) from error
    except AttributeError as error:  # what "+key=value" added cannot enter a frozen dataclass
        raise ConfigError(
            f"+ adds settings that nothing reads ({error}); 'asr-sweep run --cfg job' lists all"
        ) from error
    assert isinstance(config, Config)
    return config


def _require_device(device: str) -> None:
    """Set points aside whose device this machine lacks; a study over devices then runs on those there are.

    Raises:
        ImpossiblePoint: The device is absent.
    """
    if (reason := why_absent(device)) is not None:
        raise ImpossiblePoint(f"device={device} is not there: {reason}")


def _combinations(dimensions: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*dimensions.values()):
        yield dict(zip(dimensions, values, strict=True))


def _overlaid(base: DictConfig, values: Mapping[str, Any]) -> DictConfig:
    config = base.copy()
    for key, value in values.items():
        OmegaConf.update(config, key, value, force_add=False)
    return config
