"""The grid: every combination of a space's values, checked, impossible ones set aside with their reason."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.config import Config
from bench.errors import ConfigError, ImpossiblePoint
from bench.search.points import Candidate, Points, combinations
from bench.search.space import MOST, Interval, Point, Space


@dataclass(frozen=True)
class Skipped:
    """A point of the grid that no run can honour."""

    settings: Mapping[str, Any]
    reason: str


@dataclass(frozen=True)
class Grid:
    """What can be run of a grid, and what cannot."""

    candidates: tuple[Candidate, ...]
    skipped: tuple[Skipped, ...]

    @property
    def points(self) -> tuple[Config, ...]:
        """The configurations to run."""
        return tuple(candidate.config for candidate in self.candidates)


def enumerate_grid(space: Space, points: Points) -> Grid:
    """Build every point of a space.

    Raises:
        ConfigError: A setting has an interval of values, a value is wrong in any combination, or no point is possible.
    """
    for key, domain in space.values.items():
        if isinstance(domain, Interval):
            raise ConfigError(
                f"{key}={domain} has no finite set of values for a grid; list them ({key}=1,2,3), use"
                " range(start,stop,step), or search=tpe to have values chosen"
            )
    finite = {key: domain for key, domain in space.values.items() if not isinstance(domain, Interval)}
    sizes = {key: len(choices) for key, choices in (*space.groups.items(), *finite.items())}
    count = math.prod(sizes.values()) * (len(space.combinations) or 1)
    if count > MOST:
        product = ", ".join(f"{key} {size}" for key, size in sizes.items())
        raise ConfigError(
            f"this grid has {count} points ({product}), and {MOST} are the most; list fewer values, or search=tpe to"
            " have some of them chosen"
        )
    found: dict[Config, Candidate] = {}
    skipped: dict[str, Skipped] = {}
    for point in points_of(space, points):
        try:
            candidate = points.candidate(point)
        except ImpossiblePoint as error:
            skipped.setdefault(str(point), Skipped(point, str(error)))
        else:
            found.setdefault(candidate.config, candidate)
    if not found:
        first = next(iter(skipped.values()))
        raise ConfigError(f"no point of this grid can run; the first of {len(skipped)}: {first.reason}")
    return Grid(tuple(found.values()), tuple(skipped.values()))


def points_of(space: Space, points: Points) -> list[Point]:
    """List every combination of a finite space, without the settings whose condition it does not meet."""
    finite = {key: domain for key, domain in space.values.items() if not isinstance(domain, Interval)}
    return [
        points.active({**choices, **together, **values})
        for choices in combinations(space.groups)
        for together in (space.combinations or ({},))
        for values in combinations(finite)
    ]
