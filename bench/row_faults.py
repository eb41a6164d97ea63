"""Rows of the runs table that no run wrote: a forged file's, or another program's.

What reads runs takes for granted what is checked here, so that such a row is told of once, by its file's name.
"""

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from bench.config import NormalizerName

_NEVER_NULL = ("trial_id", "replicate", "started_at", "wall_s", "device")
# What a training ends at, and settings such as no bound on its gradients; all else that is measured or set is finite.
_MAY_BE_INFINITE = ("train.", "finetune.")
_CENTURY_S = 100 * 366 * 86_400.0


def fault(runs: pa.Table) -> tuple[int, str] | None:
    """Find a row that no run wrote.

    Args:
        runs: Rows of the runs table, any of its columns.

    Returns:
        The row's place, and what is wrong with it; null where nothing is.
    """
    return next(_faults(runs), None)


def _faults(runs: pa.Table) -> Iterator[tuple[int, str]]:
    for name, column in zip(runs.column_names, runs.columns, strict=True):
        if name in _NEVER_NULL and column.null_count:
            yield pc.index(pc.is_null(column), True).as_py(), f"its {name} is null"
        if not name.startswith(_MAY_BE_INFINITE) and (place := _infinite(column)) >= 0:
            yield place, f"its {name} is not finite"
        if (is_sound := _READ_AS.get(name)) is not None:
            for value in pc.unique(column).to_pylist():
                if value is not None and not is_sound(value):
                    yield pc.index(column, pa.scalar(value, column.type)).as_py(), f"its {name} is {str(value)[:40]!r}"
    if {"point", "trial_number"} <= set(runs.column_names):
        unnumbered = pc.and_(pc.is_valid(runs["point"]), pc.is_null(runs["trial_number"]))
        place = pc.index(unnumbered, True).as_py()
        if place >= 0:
            yield place, "it has a point and no trial_number"


def _infinite(column: pa.ChunkedArray) -> int:
    """Return the first place of a number that is infinite, alone or in a list; -1 where there is none."""
    if pa.types.is_list(column.type) and pa.types.is_floating(column.type.value_type):
        places, numbers = pc.list_parent_indices(column), pc.list_flatten(column)
        place = pc.index(pc.is_inf(numbers), True).as_py()
        return place if place < 0 else int(places[place].as_py())
    return int(pc.index(pc.is_inf(column), True).as_py()) if pa.types.is_floating(column.type) else -1


def _is_time(value: str) -> bool:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_point(value: str) -> bool:
    try:
        return isinstance(json.loads(value), dict)
    except (ValueError, RecursionError):
        return False


_READ_AS: dict[str, Callable[[Any], bool]] = {
    "started_at": _is_time,
    "point": _is_point,
    "wall_s": lambda value: 0 <= value < _CENTURY_S,  # or no calendar holds when it ended
    "score.normalizer": lambda value: value in set(NormalizerName),
}
