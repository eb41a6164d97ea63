"""Which engines there are: those that come with the harness, and those that installed packages offer.

A package offers one through an entry point of the group ``asr_sweep.engines``. Only its name is read here; nothing of
the package is imported before somebody chooses it.
"""

import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from bench.config.trial import Engine

GROUP = "asr_sweep.engines"
"""Entry points that name engines of other packages."""


def engine_names() -> tuple[str, ...]:
    """Name all engines there are, those of the harness first."""
    return tuple(dict.fromkeys([*(engine.value for engine in Engine), *sorted(offered())]))


def offered() -> Mapping[str, tuple[EntryPoint, ...]]:
    """List what installed packages offer, by name; several where packages chose the same one."""
    return _offered(tuple(sys.path))


@cache
def _offered(path: tuple[str, ...]) -> dict[str, tuple[EntryPoint, ...]]:  # noqa: ARG001 - the cache goes by it
    """Look packages up once for a search path: that takes a tenth of a second, and every point of a grid asks."""
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for one in entry_points(group=GROUP):
        found[one.name] = (*found.get(one.name, ()), one)
    return found
