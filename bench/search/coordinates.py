"""A space as Optuna sees it: points as parameters with distributions, and back."""

from collections.abc import Iterator, Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial as OptunaTrial

from bench.search.points import Points, name_of
from bench.search.space import Domain, Interval, Point, Space

_COMBINE = "search.space.combine"
_OUTSIDE = object()  # the place of what a space does not hold; null is a value like others


class Coordinates:
    """Translates between points and an Optuna trial's parameters.

    Numbers listed as choices keep their order: their parameter is the place in the sorted list, since a batch of 16 is
    nearer to 32 than to 1, and equally spaced places suit lists such as 1, 2, 4, 8.

    Args:
        space: What varies.
        points: Tells which settings a condition rules out.
    """

    def __init__(self, space: Space, points: Points) -> None:
        self._space = space
        self._points = points
        self._domains: dict[str, Domain] = {**space.groups, **space.values}
        if space.combinations:
            self._domains[_COMBINE] = tuple(range(len(space.combinations)))
        # Conditions are about settings without any, which therefore come first.
        self._order = sorted(self._domains, key=lambda key: key in space.conditions)
        self._sorted = {key: _in_order(domain) for key, domain in self._domains.items()}

    def suggest(self, trial: OptunaTrial) -> Point:
        """Let a sampler choose a point, setting by setting."""
        point: Point = {}
        for key in self._order:
            if key in self._space.conditions and self._settled(point, key):
                continue
            place = trial._suggest(key, self._distribution(key))
            point.update(self._set_by(key, place))
        return self._points.active(self._in_listed_order(point))

    def parameters(self, point: Point) -> tuple[dict[str, Any], dict[str, BaseDistribution]] | None:
        """Write a point as parameters; null where it does not lie in this space, since the space has changed, say."""
        places: dict[str, Any] = {}
        if not set(point) <= set(self._space.names):
            return None
        for key in self._order:
            if key in self._space.conditions and self._settled(point, key):
                continue
            place = self._place(key, point)
            if place is _OUTSIDE:
                return None
            places[key] = place
        return places, {key: self._distribution(key) for key in places}

    def distance(self, one: Point, other: Point) -> float:
        """Sum over settings of how far two points are apart, each between 0 and 1."""
        return sum(self._apart(key, one, other) for key in self._order)

    def _settled(self, point: Point, key: str) -> bool:
        """Tell whether the condition of a setting leaves nothing to choose."""
        probe = {**point, key: object()}
        return self._points.active(probe).get(key) is not probe[key]

    def _distribution(self, key: str) -> BaseDistribution:
        domain = self._domains[key]
        if isinstance(domain, Interval):
            if domain.whole:
                return IntDistribution(int(domain.low), int(domain.high), log=domain.log)
            return FloatDistribution(domain.low, domain.high, log=domain.log)
        if (ordered := self._sorted[key]) is not None:
            return IntDistribution(0, len(ordered) - 1)
        return CategoricalDistribution(domain)

    def _set_by(self, key: str, place: Any) -> Mapping[str, Any]:
        if key == _COMBINE:
            together: Mapping[str, Any] = self._space.combinations[place]
            return together
        ordered = self._sorted[key]
        return {key: place if ordered is None else ordered[place]}

    def _place(self, key: str, point: Point) -> Any:
        domain = self._domains[key]
        if key == _COMBINE:
            matching = (
                place
                for place, one in enumerate(self._space.combinations)
                if name_of(one) == name_of({name: point.get(name) for name in one})
            )
            return next(matching, _OUTSIDE)
        if key not in point:
            return _OUTSIDE
        value = point[key]
        if isinstance(domain, Interval):
            within = isinstance(value, int | float) and domain.low <= value <= domain.high
            return value if within and (not domain.whole or float(value).is_integer()) else _OUTSIDE
        if value not in domain:
            return _OUTSIDE
        ordered = self._sorted[key]
        return domain[domain.index(value)] if ordered is None else ordered.index(value)

    def _apart(self, key: str, one: Point, other: Point) -> float:
        first, second = self._place(key, one), self._place(key, other)
        if first is _OUTSIDE or second is _OUTSIDE:
            return float(first is not second)
        distribution = self._distribution(key)
        if isinstance(distribution, CategoricalDistribution):
            return float(first != second)
        assert isinstance(distribution, IntDistribution | FloatDistribution)
        return float(abs(first - second) / ((distribution.high - distribution.low) or 1))

    def _in_listed_order(self, point: Point) -> Point:
        return {key: point[key] for key in self._space.names if key in point}


def _in_order(domain: Domain) -> tuple[float, ...] | None:
    """Sort a list of three numbers or more; null for what has no order worth telling a sampler."""
    if isinstance(domain, Interval) or len(domain) < 3:
        return None
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in domain):
        return None
    return tuple(sorted(domain))


def size(space: Space) -> int | None:
    """Count the points of a finite space, impossible ones too; null where it has an interval of real numbers."""
    count = max(1, len(space.combinations))
    for domain in _domains(space):
        if isinstance(domain, Interval) and not domain.whole:
            return None
        count *= int(domain.high - domain.low) + 1 if isinstance(domain, Interval) else len(domain)
    return count


def _domains(space: Space) -> Iterator[Domain]:
    yield from space.groups.values()
    yield from space.values.values()
