"""Which utterances must stay together when data is divided, so that nothing is both learnt from and judged on."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import chain

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from bench.data.heard import Heard, Progress, hear
from bench.data.same_sound import same_sounds
from bench.data.sentences import plain
from bench.records import Utterance

_ALL = "all"


def group(
    utterances: Sequence[Utterance],
    *,
    speakers: bool,
    max_duration_s: float | None = None,
    progress: Progress | None = None,
) -> tuple[int, ...]:
    """Number the groups of utterances that must not come apart.

    Two utterances are in one group if they share, maybe by way of others, what :mod:`bench.data.leaks` calls a leak:
    the sentence, the recording (whichever spans of it they use), the sound, or with ``speakers`` the speaker. One that
    is known to be unusable takes no part and is a group of its own.

    Args:
        utterances: All of them.
        speakers: Whether those of one speaker stay together; who has no label is tied to nobody.
        max_duration_s: Seconds beyond which an utterance is not used, nor listened to; null is no limit.
        progress: Called with the number of sounds done and of all.

    Returns:
        The group of each utterance, in order, numbered from 0 by first appearance.

    Raises:
        AssetError: There is nowhere to write decoded audio to.
    """
    usable = [(number, item) for number, item in enumerate(utterances) if item.error is None]
    heard = hear({_ALL: [item for _, item in usable]}, listen=True, max_duration_s=max_duration_s, progress=progress)
    numbers: dict[Utterance, int] = {}
    for number, item in usable:
        numbers.setdefault(item, number)
    ties = [(numbers[item], number) for number, item in usable]  # of an utterance that comes twice
    ties += ((numbers[one], numbers[other]) for one, other in _same_sounds(heard))
    ties += _sharing((number, plain(item.text)) for number, item in usable)
    groups = _connected(len(utterances), ties)
    return with_speakers(utterances, groups) if speakers else groups


def with_speakers(utterances: Sequence[Utterance], groups: Sequence[int]) -> tuple[int, ...]:
    """Join the groups that have a speaker in common.

    Args:
        utterances: All of them; those that are known to be unusable join nothing.
        groups: The group of each, in order.

    Returns:
        The group of each, numbered from 0 by first appearance.
    """
    speakers = ((number, item.speaker) for number, item in enumerate(utterances) if item.error is None)
    return _connected(len(utterances), chain(_sharing(enumerate(groups)), _sharing(speakers)))


def _same_sounds(heard: Heard) -> Iterator[tuple[Utterance, Utterance]]:
    """Yield utterances that are of one recording or sound alike; enough of them to connect all that do."""
    first_of: dict[str, Utterance] = {}
    for sound, items in heard.of[_ALL].items():
        first = first_of.setdefault(sound.content, items[0])
        yield from ((first, item) for item in items)
    sounds = list(heard.fingerprints)
    fingerprints = list(heard.fingerprints.values())
    for match in same_sounds(fingerprints, fingerprints):
        yield first_of[sounds[match.first].content], first_of[sounds[match.second].content]


def _sharing(labelled: Iterable[tuple[int, Hashable]]) -> Iterator[tuple[int, int]]:
    """Yield each number with the first one of the same label; who has none, or an empty one, shares nothing."""
    first: dict[Hashable, int] = {}
    for number, label in labelled:
        if label not in (None, ""):
            yield first.setdefault(label, number), number


def _connected(count: int, ties: Iterable[tuple[int, int]]) -> tuple[int, ...]:
    """Number the connected parts of a graph of ``count`` nodes by first appearance; returns the part of each node."""
    ends = np.array(list(ties), dtype=np.intp).reshape(-1, 2)
    graph = sparse.coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    _, parts = csgraph.connected_components(graph, directed=False)
    numbers: dict[int, int] = {}
    return tuple(numbers.setdefault(part, len(numbers)) for part in parts.tolist())
