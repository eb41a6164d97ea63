"""Keeping a part of the data aside, to judge on it what was chosen on the rest."""

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from bench.data.dataset import DataSet, subset
from bench.errors import DataError
from bench.records import Utterance


class Part(StrEnum):
    """What a run's data is for."""

    search = "search"
    holdout = "holdout"


def part_of(data: DataSet, part: Part, share: float) -> DataSet:
    """Take one part of a data set; all of it for the search where nothing is kept aside.

    What must not be on both sides stays together: everything a speaker said where all speakers are named, everything
    of a recording otherwise. Such groups are kept aside in an order that depends on their own names alone, until they
    hold the share of the utterances, so that equal data is divided equally, on every machine and at every start.

    Args:
        data: The whole.
        part: Which part.
        share: Share of the utterances to keep aside, at least; between 0 and 1.

    Raises:
        DataError: There is a single group only, or one part would be empty.
    """
    if not share:
        return data
    by_speaker = all(item.speaker for item in data.utterances)
    what = "speakers" if by_speaker else "recordings"
    groups = _by_speaker(data.utterances) if by_speaker else _by_recording(data.utterances)
    kept_aside: set[str] = set()
    count = 0
    for name in sorted(groups, key=lambda name: hashlib.sha256(name.encode()).hexdigest()):
        if count >= share * len(data.utterances):
            break
        kept_aside.add(name)
        count += len(groups[name])
    if len(kept_aside) == len(groups):
        raise DataError(
            f"search.holdout={share:g} of {data.name} would leave nothing to search on: its {len(data.utterances)}"
            f" utterances come from {len(groups)} {what}; keep a smaller share aside, or add data"
        )
    wanted = [
        item for name, items in groups.items() if (name in kept_aside) is (part is Part.holdout) for item in items
    ]
    return subset(data, part.value, wanted)


def _by_speaker(utterances: Sequence[Utterance]) -> dict[str, list[Utterance]]:
    groups: dict[str, list[Utterance]] = {}
    for item in utterances:
        groups.setdefault(str(item.speaker), []).append(item)
    return groups


def _by_recording(utterances: Sequence[Utterance]) -> dict[str, list[Utterance]]:
    """Group by file, and name each by what is said in it, which is the same wherever the file lies."""
    files: dict[Path, list[Utterance]] = {}
    for item in utterances:
        files.setdefault(item.path, []).append(item)
    groups: dict[str, list[Utterance]] = {}
    for items in files.values():
        groups.setdefault("\0".join(item.text for item in items), []).extend(items)
    return groups
