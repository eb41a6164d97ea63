"""A study's own description, ``study.yaml``, of a size that can be written out."""

from typing import Any

from bench.errors import StoreError
from bench.storage import Place
from bench.store import read_study

# The largest grids have some hundred thousand; YAML's aliases can make any number of a few lines.
_MOST_VALUES = 5_000_000


def description(study_dir: Place) -> dict[str, Any]:
    """Read what a study says of itself; nothing for a study that was never started.

    Raises:
        StoreError: It cannot be read, or its aliases unfold to more than can be told.
    """
    told = read_study(study_dir) or {}
    if _unfolds_beyond(told, _MOST_VALUES):
        raise StoreError(
            f"{study_dir / 'study.yaml'} unfolds to more than {_MOST_VALUES} values, which no study writes; restore it,"
            " or delete it to have it written anew"
        )
    return told


def _unfolds_beyond(value: object, most: int) -> bool:
    ahead, count = [value], 0
    while ahead and count <= most:
        count += 1
        match ahead.pop():
            case dict() as mapping:
                ahead.extend(mapping.values())
            case list() | tuple() as values:
                ahead.extend(values)
    return count > most
