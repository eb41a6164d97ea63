"""What a search is after: the metrics to make good, and the bounds to keep."""

import difflib
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.config import Sampler, SearchConfig
from bench.errors import ConfigError
from bench.metrics import ALL, TIMED, Metric

_BOUND = re.compile(r"\s*(\w+)\s*(<=|>=)\s*([-+.\deE]+)\s*")
_HOLDS = {"<=": operator.le, ">=": operator.ge}


@dataclass(frozen=True)
class Constraint:
    """A bound on a metric, such as ``peak_rss_mib<=8000``."""

    metric: Metric
    relation: str
    bound: float

    def __str__(self) -> str:
        return f"{self.metric.column}{self.relation}{self.bound:g}"

    def holds(self, value: float) -> bool:
        """Tell whether a value keeps the bound."""
        return bool(_HOLDS[self.relation](value, self.bound))

    def excess(self, value: float) -> float:
        """Say by how much a value breaks the bound, as a share of it; zero or less where it does not."""
        over = value - self.bound if self.relation == "<=" else self.bound - value
        return over / (abs(self.bound) or 1.0)


@dataclass(frozen=True)
class Goal:
    """The objectives, the first of which decides where one setting has to be named, and the constraints."""

    objectives: tuple[Metric, ...]
    constraints: tuple[Constraint, ...]

    def __str__(self) -> str:
        """Write it down, equal for equal goals: in which order objectives and constraints were given says nothing."""
        sought = ", ".join(sorted(one.column for one in self.objectives))
        bounds = ", ".join(sorted(map(str, self.constraints)))
        return f"{sought} under {bounds}" if bounds else sought

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """All metrics it looks at, each once."""
        return tuple(dict.fromkeys([*self.objectives, *(one.metric for one in self.constraints)]))

    def keeps(self, row: Mapping[str, Any]) -> bool:
        """Tell whether a row of the runs table, or of settings, keeps every bound; what was not measured keeps none."""
        return not self.broken(row)

    def broken(self, row: Mapping[str, Any]) -> list[Constraint]:
        """List the constraints that a row breaks, or has no value for."""
        values = [(one, row.get(one.metric.column)) for one in self.constraints]
        return [one for one, value in values if value is None or value != value or not one.holds(value)]


def parse_goal(objectives: Sequence[str], constraints: Sequence[str]) -> Goal:
    """Read the objectives and constraints of a configuration.

    Raises:
        ConfigError: There is no objective, one is named twice, a metric is unknown, or a constraint cannot be read.
    """
    if not objectives:
        raise ConfigError("search.objectives is empty; name at least one metric, such as search.objectives=[wer]")
    if len(set(objectives)) < len(objectives):
        raise ConfigError(f"search.objectives=[{','.join(objectives)}] names a metric twice; name each once")
    return Goal(
        tuple(_metric(name, "search.objectives") for name in objectives),
        tuple(_constraint(text) for text in constraints),
    )


def deciding_time(search: SearchConfig) -> str | None:
    """Name a metric of time by which a study decides how it goes on, or what it chooses; null where none does."""
    if search.sampler is Sampler.grid and not search.racing and not search.holdout:
        return None
    goal = parse_goal(search.objectives, search.constraints)
    return next((metric.column for metric in goal.metrics if metric.column in TIMED), None)


def _constraint(text: str) -> Constraint:
    found = _BOUND.fullmatch(text)
    try:
        name, relation, bound = found.groups() if found else ("", "", "")
        return Constraint(_metric(name, f"search.constraints: {text}"), relation, float(bound))
    except ValueError:
        raise ConfigError(
            f"search.constraints: {text!r} is no bound; write METRIC<=NUMBER or METRIC>=NUMBER, in quotes:"
            " 'search.constraints=[\"peak_rss_mib<=8000\"]'"
        ) from None


def _metric(name: str, where: str) -> Metric:
    if not name:
        raise ValueError(name)
    if name not in ALL:
        close = difflib.get_close_matches(name, ALL, n=1)
        meant = f"did you mean {close[0]}? " if close else ""
        raise ConfigError(f"{where}: {name} is no metric; {meant}use any of: {', '.join(ALL)}")
    return ALL[name]
