"""From a point of a space to the configuration of a trial."""

import functools
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias, TypeVar

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bench.config import Config, flatten
from bench.errors import ConfigError, ImpossiblePoint
from bench.inference import parity
from bench.inference.engines import why_absent as why_absent_engine
from bench.measure.device import why_absent
from bench.search.space import Condition, Interval, Point, Space
from bench.validation import validate

Compose = Callable[[Sequence[str]], DictConfig]
"""Composes a configuration from overrides, without Hydra's own node."""

# What a run is made of; the rest (study, measure, score, search, executor, results) holds for a study as a whole.
_PARTS = {item.name for item in fields(Config)}
_SETTINGS = {name for name, _ in flatten(Config())}
_OF_THE_STUDY = ("finetune.folds.", "finetune.test.", "finetune.evaluations", "finetune.save")
_SWEEPABLE = ("device", "engine", "threads", "seed", "model", "data", "decode", "finetune")


_Settings = TypeVar("_Settings", bound=Any)
_Groups: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Candidate:
    """A point that can be run, and the configuration it stands for."""

    point: Point
    config: Config


class Points:
    """Makes points into configurations.

    Hydra composes once for each combination of groups, at the start; plain values are laid over the result through its
    typed schema, which is a hundred times faster and needs Hydra no more.

    Args:
        space: What varies.
        compose: Composes configurations.

    Raises:
        ConfigError: A key is unknown, or a setting cannot vary within a study.
    """

    def __init__(self, space: Space, compose: Compose) -> None:
        for key in space.names:
            part = key.partition(".")[0].partition("/")[0]
            known = part in _PARTS or key in space.groups  # an unknown key gets its own message, with a suggestion
            if known and (part not in _SWEEPABLE or key.startswith(_OF_THE_STUDY)):
                raise ConfigError(f"{key} holds for a study as a whole and cannot vary within it; give it one value")
        self._space = space
        self._fixed_groups = dict(_fixed_groups(space.fixed))
        self._bases = {
            tuple(choices.items()): compose([*space.fixed, *(f"{group}={choice}" for group, choice in choices.items())])
            for choices in combinations(space.groups)
        }

        self._plains: dict[_Groups, Config | None] = {}
        self._converted: dict[tuple[_Groups, str, str], Any] = {}
        # Conditions look at what holds where a point says nothing; flattening takes a millisecond.
        self._settled = {
            key: {**dict(flatten(to_config(base))), **self._fixed_groups}
            for key, base in (self._bases.items() if space.conditions else ())
        }

    def sources(self) -> list[Config]:
        """Make a configuration for every model and data set that points may name; they are not validated."""
        space = self._space
        told = {
            key: domain
            for key, domain in space.values.items()
            if key.startswith(("model.", "data.")) and not isinstance(domain, Interval)
        }
        return [
            self._overlaid({**choices, **together, **values})
            for choices in combinations(space.groups)
            for together in (space.combinations or ({},))
            for values in combinations(told)
        ]

    def knows(self, point: Point) -> bool:
        """Tell whether a point consists of settings, and of groups that still have the choices it names."""
        groups = self._space.groups
        return all(key in groups or key in _SETTINGS for key in point) and all(
            point.get(group) in choices for group, choices in groups.items()
        )

    def active(self, point: Point) -> Point:
        """Settle what does not vary at a point because its condition is not met."""
        if not self._space.conditions:
            return point
        base = self._settled[self._key(point)]
        settled = dict(point)
        for key, condition in self._space.conditions.items():
            if not meets({**base, **point}.get(condition.setting), condition):
                settled.pop(key, None)
                if condition.otherwise:
                    settled[key] = condition.otherwise[0]
        return settled

    def candidate(self, point: Point) -> Candidate:
        """Make a point into a configuration, and check it.

        Raises:
            ImpossiblePoint: No run can honour it.
            ConfigError: A value is wrong in any combination.
        """
        typed = self._overlaid(point)
        validate(typed)
        if "engine" in point:
            _require_engine(typed.engine)
        parity.require(typed, point)
        if "device" in point:
            _require_device(typed.device)
        return Candidate(point, typed)

    def _overlaid(self, point: Point) -> Config:
        """Lay a point's values over what Hydra composed for its groups.

        Copying and converting that whole takes milliseconds each, so a grid of many thousand points converts each value
        of a setting once, in place, and puts together what it has. With references between settings it cannot.
        """
        base = self._key(point)
        values = {key: value for key, value in point.items() if key not in self._space.groups}
        known = [(base, key, repr(value)) for key, value in values.items()]
        plain = self._plain(base)
        if plain is not None and all(one in self._converted for one in known):
            return _with(plain, {key: self._converted[base, key, text] for base, key, text in known})
        if plain is None:
            return to_config(_laid_over(self._bases[base].copy(), values))
        before = {key: OmegaConf.select(self._bases[base], key) for key in values}
        try:
            typed = to_config(_laid_over(self._bases[base], values))
        finally:
            _laid_over(self._bases[base], before)
        for one in known:
            if not isinstance(self._space.values.get(one[1]), Interval):
                self._converted[one] = functools.reduce(getattr, one[1].split("."), typed)
        return typed

    def _plain(self, base: _Groups) -> Config | None:
        """Return the configuration without a point's values; null where these decide more than their own setting."""
        if base not in self._plains:
            composed = self._bases[base]
            self._plains[base] = None
            if "${" not in OmegaConf.to_yaml(composed):
                with suppress(ConfigError):  # it lacks a value that each point gives
                    self._plains[base] = to_config(composed)
        return self._plains[base]

    def _key(self, point: Point) -> _Groups:
        return tuple((group, point[group]) for group in self._space.groups)


def checked_points(given: Sequence[Point], space: Space, points: Points) -> tuple[Point, ...]:
    """Check the points that a user wants tried first, and complete them in the order of the space's settings.

    Raises:
        ConfigError: A point names what does not vary, leaves a setting out, or cannot be run.
    """
    settled = []
    for point in given:
        if unknown := [key for key in point if key not in space.names]:
            raise ConfigError(f"search.enqueue: {unknown[0]} does not vary; name only {', '.join(space.names)}")
        for group, choices in space.groups.items():
            if point.get(group) not in choices:
                raise ConfigError(f"search.enqueue: {point} needs {group}, one of {', '.join(choices)}")
        complete = points.active({key: point[key] for key in space.names if key in point})
        if missing := [key for key in space.names if key not in complete and key not in space.conditions]:
            raise ConfigError(f"search.enqueue: {point} leaves {missing[0]} open; give each point all of its settings")
        points.candidate(complete)
        settled.append(complete)
    return tuple(settled)


def refuse_wrong_values(space: Space, points: Points) -> None:
    """Try every value by itself, of an interval its bounds, so that a search does not meet a wrong one halfway.

    Raises:
        ConfigError: A value is wrong in any combination.
    """
    bounds: dict[str, tuple[Any, ...]] = {
        key: (domain.low, domain.high) if isinstance(domain, Interval) else domain
        for key, domain in space.values.items()
    }
    first: Point = {group: choices[0] for group, choices in space.groups.items()}
    first.update((space.combinations or ({},))[0])
    first.update({key: values[0] for key, values in bounds.items()})
    alone = [{key: value} for key, values in bounds.items() for value in values]
    alone += [{key: value} for key, condition in space.conditions.items() for value in condition.otherwise]
    for point in (first, *alone, *space.combinations):
        with suppress(ImpossiblePoint):  # with other values it may be possible
            points.candidate({key: _canonical(value) for key, value in {**first, **point}.items()})


def name_of(point: Point) -> str:
    """Write a point so that equal points have equal names, whatever the order of their settings."""
    return json.dumps({key: _canonical(value) for key, value in point.items()}, sort_keys=True)


def combinations(dimensions: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Yield every combination of values, as mappings."""
    for values in itertools.product(*dimensions.values()):
        yield dict(zip(dimensions, values, strict=True))


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


def _laid_over(config: DictConfig, values: Mapping[str, Any]) -> DictConfig:
    for key, value in values.items():
        OmegaConf.update(config, key, value, merge=False)
    return config


def _with(config: _Settings, values: Mapping[str, Any]) -> _Settings:
    """Replace settings, by their dotted names."""
    own: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        part, _, rest = name.partition(".")
        if rest:
            inner.setdefault(part, {})[rest] = value
        else:
            own[part] = value
    parts = {part: _with(getattr(config, part), rest) for part, rest in inner.items()}
    return replace(config, **own, **parts)


def _require_device(device: str) -> None:
    """Set points aside whose device this machine lacks; a study over devices then runs on those there are.

    Raises:
        ImpossiblePoint: The device is absent.
    """
    if (reason := why_absent(device)) is not None:
        raise ImpossiblePoint(f"device={device} is not there: {reason}")


def _require_engine(name: str) -> None:
    """Set points aside whose engine is not installed, as those whose device is absent.

    Raises:
        ImpossiblePoint: A package of the engine is missing.
    """
    if (reason := why_absent_engine(name)) is not None:
        raise ImpossiblePoint(f"engine={name} is not there: {reason}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def _canonical(value: Any) -> Any:
    """Let 5 and 5.0 be one value, as they are to a setting in seconds; one that takes whole numbers only wants 5."""
    return int(value) if _is_whole(value) else value


def meets(value: Any, condition: Condition) -> bool:
    """Tell whether a value is one of a condition's, read as in overrides: 10 and 10.0 are the same."""
    return any(_canonical(value) == _canonical(yaml.safe_load(allowed)) for allowed in condition.values)


def _fixed_groups(overrides: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the groups that overrides fix (``model=fake``), with their choices."""
    for override in overrides:
        name, _, choice = override.partition("=")
        if name not in _SETTINGS and "." not in name:
            yield name, choice
