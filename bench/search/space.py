"""Hydra's sweep grammar as typed dimensions of a search space."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString

from bench.errors import ConfigError


@dataclass(frozen=True)
class Space:
    """What is fixed and what varies.

    Attributes:
        fixed: Overrides that hold for every point, as Hydra writes them.
        groups: Config groups that vary (``model``), with the names of their choices.
        values: Settings that vary (``decode.chunk_length_s``), with their values.
    """

    fixed: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]
    values: Mapping[str, tuple[Any, ...]]

    def described(self) -> dict[str, list[Any]]:
        """Return every dimension with its values, for ``study.yaml``."""
        return {key: list(values) for key, values in {**self.groups, **self.values}.items()}


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
        ConfigError: A dimension has no finite set of values, or none at all.
    """
    dimensions = [f"{key}={_as_text(value)}" for key, value in preset.items()]
    # As with Hydra's own overrides, the last word on a key holds.
    last = {override.key_or_group: override for override in parser.parse_overrides([*dimensions, *arguments])}
    fixed: list[str] = []
    groups: dict[str, tuple[str, ...]] = {}
    values: dict[str, tuple[Any, ...]] = {}
    for key, override in last.items():
        if not override.is_sweep_override():
            fixed.append(str(override.input_line))
        elif is_group(key):
            groups[key] = tuple(str(value) for value in _values(override))
        else:
            values[key] = _values(override)
    return Space(tuple(fixed), groups, values)


def _as_text(value: Any) -> str:
    """Write a preset's value as an override; YAML reads ``5,10`` as text but ``[5, 10]`` as a list of choices."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(_as_text(item) for item in value) or "choice()"  # choice(...) itself takes no null
    return "null" if value is None else str(value)


def _values(override: Override) -> tuple[Any, ...]:
    if not override.is_discrete_sweep():
        raise ConfigError(
            f"{override.input_line} has no finite set of values to try;"
            f" list them ({override.key_or_group}=1,2,3) or use range(start,stop,step)"
        )
    values = tuple(each.text if isinstance(each, QuotedString) else each for each in override.sweep_iterator())
    if not values:
        raise ConfigError(f"{override.input_line} is empty; give at least one value")
    return values
