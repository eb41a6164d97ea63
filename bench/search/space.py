"""Hydra's sweep grammar as typed dimensions of a search space."""

import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from typing import Any, TypeAlias

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, QuotedString, RangeSweep

from bench.config import Config, SpaceConfig, flatten
from bench.errors import ConfigError

_CONDITION = re.compile(r"\s*(\S+)\s+if\s+([^\s=]+)\s*=\s*(.+?)(?:\s+else\s+(.+?))?\s*")

MOST = 1_000_000
"""Points of a grid at most; to list them takes an hour."""

Point: TypeAlias = dict[str, Any]
"""What is particular to one trial: groups and settings that vary, with their values."""


@dataclass(frozen=True)
class Interval:
    """All numbers between two bounds, both included.

    Attributes:
        log: Whether ratios count, not differences.
        whole: Whether only whole numbers are meant.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __str__(self) -> str:
        inner = f"interval({_written(self.low)},{_written(self.high)})"
        inner = f"int({inner})" if self.whole else inner
        return f"tag(log,{inner})" if self.log else inner


Domain: TypeAlias = tuple[Any, ...] | Interval
"""Values to choose from, or a range of numbers."""


@dataclass(frozen=True)
class Condition:
    """When a setting varies.

    Attributes:
        setting: Another setting or group.
        values: Those of its values, as text, under which the setting varies.
        otherwise: Overrides of the setting elsewhere, none or one.
    """

    setting: str
    values: tuple[str, ...]
    otherwise: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Space:
    """What is fixed and what varies.

    Attributes:
        fixed: Overrides that hold for every point, as Hydra writes them.
        groups: Config groups that vary (``model``), with the names of their choices.
        values: Settings that vary (``decode.chunk_length_s``), with their values or bounds.
        combinations: Settings that vary together; a point takes one of these mappings.
        conditions: Under which condition a setting of ``values`` varies.
    """

    fixed: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]
    values: Mapping[str, Domain]
    combinations: tuple[Point, ...] = ()
    conditions: Mapping[str, Condition] = field(default_factory=dict)

    @property
    def varies(self) -> bool:
        """Whether there is anything to choose."""
        return bool(self.groups or self.values or self.combinations)

    @property
    def names(self) -> tuple[str, ...]:
        """All groups and settings that vary, those of the combinations too."""
        return tuple(dict.fromkeys([*self.groups, *(key for one in self.combinations for key in one), *self.values]))

    def described(self) -> dict[str, list[Any]]:
        """Return every dimension with its values, for ``study.yaml``; of an interval, how it is written."""
        together = {
            key: list(dict.fromkeys(one[key] for one in self.combinations))
            for key in (self.combinations[0] if self.combinations else ())
        }
        values = {
            key: [str(domain)] if isinstance(domain, Interval) else list(domain) for key, domain in self.values.items()
        }
        return {**{key: list(choices) for key, choices in self.groups.items()}, **together, **values}


def parse_space(
    arguments: Sequence[str], preset: Mapping[str, Any], is_group: Callable[[str], bool], parser: OverridesParser
) -> Space:
    """Sort overrides into those that hold and those that vary.

    Args:
        arguments: The command line's overrides.
        preset: Dimensions of a preset (``hydra.sweeper.params``): setting to values; the command line wins over them.
        is_group: Tells config groups from settings.
        parser: Hydra's parser of overrides.

    Raises:
        ConfigError: A dimension has no values, or bounds that hold none.
    """
    dimensions = [f"{key}={_as_text(value)}" for key, value in preset.items()]
    # As with Hydra's own overrides, the last word on a key holds.
    last = {override.key_or_group: override for override in parser.parse_overrides([*dimensions, *arguments])}
    whole = set(_whole_settings(Config))
    fixed: list[str] = []
    groups: dict[str, tuple[str, ...]] = {}
    values: dict[str, Domain] = {}
    for key, override in last.items():
        if not override.is_sweep_override():
            fixed.append(str(override.input_line))
        elif is_group(key):
            groups[key] = tuple(str(value) for value in _values(override))
        elif override.is_interval_sweep():
            values[key] = _interval(override, key in whole)
        else:
            values[key] = _values(override)
    return Space(tuple(fixed), groups, values)


def refined(space: Space, config: SpaceConfig) -> Space:
    """Add combinations and conditions to what the overrides said.

    Raises:
        ConfigError: The combinations do not set the same settings, one varies by itself as well, a condition cannot be
            read, or depends on another one.
    """
    combinations = tuple(dict(one) for one in config.combine)
    if any(set(one) != set(combinations[0]) or not one for one in combinations):
        raise ConfigError(
            "search.space.combine: every combination must set the same settings, at least one;"
            f" they set {' / '.join(','.join(one) or 'none' for one in combinations)}"
        )
    for one in combinations:
        _refuse_compound("search.space.combine", one.values())
    for key in combinations[0] if combinations else ():
        if key in space.values or key in space.groups:
            raise ConfigError(f"{key} varies by itself and in search.space.combine; name it in one of them")
    conditions = dict(_condition(text) for text in config.when)
    known = {*(name for name, _ in flatten(Config())), *space.groups, "model", "data", "decode"}
    for name in (*conditions, *(condition.setting for condition in conditions.values())):
        if name not in known:
            raise ConfigError(f"search.space.when: {name} is no setting; 'asr-sweep run --cfg job' lists them all")
    for key, condition in conditions.items():
        if key in space.groups or any(key in one for one in combinations):
            raise ConfigError(
                f"search.space.when: {key} is a group or varies with others; state the condition of a setting"
            )
        if condition.setting in conditions:
            raise ConfigError(
                f"search.space.when: {key} depends on {condition.setting}, which has a condition itself; drop one"
            )
    # What the command line fixed no longer varies, and needs no condition.
    conditions = {key: condition for key, condition in conditions.items() if key in space.values}
    return Space(space.fixed, space.groups, space.values, combinations, conditions)


def _written(number: float) -> str:
    return str(int(number)) if number.is_integer() else repr(number)


def _condition(text: str) -> tuple[str, Condition]:
    found = _CONDITION.fullmatch(text)
    if not found:
        raise ConfigError(
            f"search.space.when: {text!r} is no condition; write 'SETTING if OTHER=VALUE|VALUE' or '... else VALUE'"
        )
    key, setting, allowed, otherwise = found.groups()
    values = tuple(value.strip() for value in allowed.split("|"))
    try:
        for value in values:
            yaml.safe_load(value)
        return key, Condition(setting, values, () if otherwise is None else (yaml.safe_load(otherwise),))
    except yaml.YAMLError:
        raise ConfigError(
            f"search.space.when: a value of {text!r} cannot be read; write it as in an override"
        ) from None


def _as_text(value: Any) -> str:
    """Write a preset's value as an override; YAML reads ``5,10`` as text but ``[5, 10]`` as a list of choices."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(_as_text(item) for item in value) or "choice()"  # choice(...) itself takes no null
    return "null" if value is None else str(value)


def _values(override: Override) -> tuple[Any, ...]:
    if override.is_interval_sweep():
        raise ConfigError(f"{override.input_line}: a group has no numbers; list its choices")
    found = override.value()
    if isinstance(found, RangeSweep) and not _is_countable(found):
        raise ConfigError(
            f"{override.input_line}: a range takes finite bounds, a step other than 0, and has {MOST} values at most"
        )
    values = tuple(each.text if isinstance(each, QuotedString) else each for each in override.sweep_iterator())
    if not values:
        raise ConfigError(f"{override.input_line} is empty; give at least one value")
    _refuse_compound(str(override.input_line), values)
    return tuple(dict.fromkeys(values))


def _refuse_compound(where: str, values: Iterable[Any]) -> None:
    """Let only plain values vary: tables of results have a column a setting.

    Raises:
        ConfigError: A value is a list or a mapping.
    """
    if any(isinstance(value, list | dict) for value in values):
        raise ConfigError(f"{where}: lists and mappings cannot vary; give numbers or words")


def _is_countable(span: RangeSweep) -> bool:
    """Tell whether a range can be listed: Hydra lists any, and a grid has an end."""
    try:
        start, stop, step = (float(bound or 0) for bound in (span.start, span.stop, span.step))
        return step != 0 and (stop - start) / step <= MOST  # what is no number is not less either
    except OverflowError:  # a whole number that is greater than any float
        return False


def _interval(override: Override, whole: bool) -> Interval:
    found = override.value()
    assert isinstance(found, IntervalSweep)
    low, high = found.start, found.end
    log = "log" in found.tags
    if low is None or high is None or not low < high or (log and low <= 0):
        bounds = "two bounds above 0, the lower one first" if log else "the lower bound first"
        raise ConfigError(f"{override.input_line} holds nothing to search; give {bounds}")
    whole = whole or isinstance(low, int)
    if whole and not (float(low).is_integer() and float(high).is_integer()):
        raise ConfigError(f"{override.input_line}: this setting takes whole numbers; give whole bounds")
    return Interval(float(low), float(high), log, whole)


def _whole_settings(record: type, prefix: str = "") -> Iterator[str]:
    """Name the settings that take whole numbers only."""
    for name, annotation in typing.get_type_hints(record).items():
        if is_dataclass(annotation):
            yield from _whole_settings(typing.cast(type, annotation), f"{prefix}{name}.")
        elif int in (annotation, *typing.get_args(annotation)) and float not in typing.get_args(annotation):
            yield prefix + name
