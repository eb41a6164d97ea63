"""Which recordings of two collections are the same sound: candidates by exact bits, each then compared as a whole.

As in Haitsma and Kalker (2002), a frame of one collection whose 32 bits occur in the other names a candidate: two
recordings and the offset between them. To find more of what another encoding changed, a frame is also looked up with
its weakest bits turned. Whether a candidate is a match is then decided on all frames that both recordings share at that
offset, by the share of bits that differ.

**How sure a match is.** Bits of unrelated speech differ by a half, with a standard deviation of 0.24 to 0.27 / √n over
n frames (LibriSpeech against itself and LJ Speech), as if 3.4 to 4.2 of a frame's 32 bits were independent. Three are
taken here. The distribution has heavier tails than a binomial one: of 18.7 million comparisons at n = 24 to 192, three
in a million were more than 5.6 of these deviations below a half, where a binomial distribution has one in a hundred
million; none was more than 6.6. A match has to be 8 below, which, if the tail goes on as it began, unrelated speech is
once in some 10^10 comparisons.

Besides, at most a quarter of the bits may differ, where the paper allows 0.35: sentences that one synthetic voice reads
share whole words to the sample, and a quarter is what is left when half of what is compared is equal. Of what encoders
and telephone lines do, 5 to 10 % remain.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bench.data.sound import BITS, HOP_S, WEAK, Fingerprint

LEAST_FRAMES = 22
"""Telling frames that two recordings must share to be compared at all: with fewer, no result is beyond chance."""

_MOST_DIFFERENT = 0.25
_MOST_DIFFERENT_AROUND = 0.35  # where only 0.8 s are looked at
_DEVIATIONS = 8.0
_INDEPENDENT_BITS = 3.0  # of a frame
_LEAST_SHARE = 0.5  # of the shorter recording's telling frames; below, a common phrase would make a match

_INDEXED = 20_000_000  # frames that are searched together: 70 hours, 600 MB
_LOOKED_UP = 20_000  # frames looked up together
_MOST_OF_A_KIND = 64  # frames of the other collection taken for one that is looked up; bounds time where many are alike
_COMPARED = 50_000  # candidates compared around their frame together: some 25 MB
_AROUND = np.arange(-32, 32)  # 0.8 s
_TURNED = [turned for count in range(WEAK + 1) for turned in combinations(range(WEAK), count)]


@dataclass(frozen=True)
class Match:
    """Two recordings that are the same sound, or one of which is in the other.

    Attributes:
        first: Which of the first collection.
        second: Which of the second.
        offset_s: Where the beginning of the first one lies in the second, in seconds; negative where it lies before it.
        different: Share of the bits that differ.
    """

    first: int
    second: int
    offset_s: float
    different: float


def same_sounds(first: Sequence[Fingerprint], second: Sequence[Fingerprint]) -> list[Match]:
    """Find all pairs of recordings, one of each collection, that are the same sound for at least half of the shorter.

    Where more than 64 of the larger collection are the same sound, some of them may be left out, but never all.

    Time is that of sorting the larger collection's frames and looking up the smaller one's; memory some 30 bytes a
    frame of the smaller, and of the larger up to 600 MB: 10,000 and 1,000 clips of 5 s take some ten seconds.
    """
    swapped = len(first) > len(second)
    sought, known = (second, first) if swapped else (first, second)
    frames = _Frames.of(sought)
    found: dict[tuple[int, int], Match] = {}
    for start, part in _parts(known):
        for one, within, offset in _candidates(frames, _Frames.of(part)):
            pair = (one, start + within)
            if pair not in found and (match := _compared(sought, known, *pair, offset)):
                found[pair] = match
    matches = (_turned_round(match) if swapped else match for match in found.values())
    return sorted(matches, key=lambda match: (match.first, match.second))


def _parts(collection: Sequence[Fingerprint]) -> Iterator[tuple[int, Sequence[Fingerprint]]]:
    """Cut a collection into parts of some :data:`_INDEXED` frames; yields each with the number of its first."""
    start, frames = 0, 0
    for number, one in enumerate(collection, 1):
        frames += len(one.bits)
        if frames >= _INDEXED or number == len(collection):
            yield start, collection[start:number]
            start, frames = number, 0


@dataclass(frozen=True)
class _Frames:
    """All frames of a collection, one recording after the other.

    Attributes:
        owner: Which recording a frame is of, shape ``(frames,)``.
        starts: The first frame of each recording, shape ``(recordings,)``.
    """

    bits: NDArray[np.uint32]
    weak: NDArray[np.uint8]
    telling: NDArray[np.bool_]
    owner: NDArray[np.int32]
    starts: NDArray[np.int64]

    @staticmethod
    def of(collection: Sequence[Fingerprint]) -> "_Frames":
        counts = [len(one.bits) for one in collection]
        return _Frames(
            np.concatenate([np.empty(0, np.uint32), *(one.bits for one in collection)]),
            np.concatenate([np.empty((0, WEAK), np.uint8), *(one.weak for one in collection)]),
            np.concatenate([np.empty(0, np.bool_), *(one.telling for one in collection)]),
            np.repeat(np.arange(len(counts), dtype=np.int32), counts),
            np.cumsum([0, *counts], dtype=np.int64)[:-1],
        )


def _candidates(sought: _Frames, known: _Frames) -> Iterator[tuple[int, int, int]]:
    """Yield (recording sought, recording known, offset in frames of the first within the second).

    A pair may come several times; within a block, the offset most frames agree on comes first.
    """
    places = np.flatnonzero(known.telling)
    places = places[np.argsort(known.bits[places], kind="stable")]
    ordered = known.bits[places]
    telling = np.flatnonzero(sought.telling)
    for start in range(0, len(telling), _LOOKED_UP):
        ours, theirs = _looked_up(sought, telling[start : start + _LOOKED_UP], ordered, places)
        alike = np.concatenate(
            [np.empty(0, np.bool_)]
            + [
                _alike_around(sought, known, ours[part : part + _COMPARED], theirs[part : part + _COMPARED])
                for part in range(0, len(ours), _COMPARED)
            ]
        )
        ours, theirs = ours[alike], theirs[alike]
        one, other = sought.owner[ours], known.owner[theirs]
        offset = (theirs - known.starts[other]) - (ours - sought.starts[one])
        distinct, votes = np.unique(np.stack([one, other, offset], axis=1), axis=0, return_counts=True)
        for row in np.argsort(-votes, kind="stable"):
            yield int(distinct[row, 0]), int(distinct[row, 1]), int(distinct[row, 2])


def _looked_up(
    sought: _Frames, frames: NDArray[np.intp], ordered: NDArray[np.uint32], places: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Find where the bits of some frames occur, as two arrays of the same length: frames sought, frames known."""
    weak = np.uint32(1) << sought.weak[frames].astype(np.uint32)
    bits = np.concatenate(
        [sought.bits[frames] ^ np.bitwise_or.reduce(weak[:, list(turned)], axis=1) for turned in _TURNED]
    )
    order = np.argsort(bits)  # looking up in order is many times faster
    first = np.searchsorted(ordered, bits[order], side="left")
    counts = np.minimum(np.searchsorted(ordered, bits[order], side="right") - first, _MOST_OF_A_KIND)
    ours = np.repeat(np.tile(frames, len(_TURNED))[order], counts)
    within = np.arange(len(ours)) - np.repeat(np.cumsum(counts) - counts, counts)
    return ours, places[np.repeat(first, counts) + within]


def _alike_around(
    sought: _Frames, known: _Frames, ours: NDArray[np.intp], theirs: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Tell whether the frames around a pair of equal ones are alike too: a cheap look before the whole comparison."""
    left, right = ours[:, np.newaxis] + _AROUND, theirs[:, np.newaxis] + _AROUND
    inside = (left >= 0) & (left < len(sought.bits)) & (right >= 0) & (right < len(known.bits))
    left, right = np.where(inside, left, ours[:, np.newaxis]), np.where(inside, right, theirs[:, np.newaxis])
    inside &= (sought.owner[left] == sought.owner[ours, np.newaxis]) & sought.telling[left]
    inside &= (known.owner[right] == known.owner[theirs, np.newaxis]) & known.telling[right]
    wrong = np.bitwise_count(sought.bits[left] ^ known.bits[right]) * inside
    alike: NDArray[np.bool_] = wrong.sum(axis=1) <= _MOST_DIFFERENT_AROUND * BITS * inside.sum(axis=1)
    return alike


def _compared(
    sought: Sequence[Fingerprint], known: Sequence[Fingerprint], one: int, other: int, offset: int
) -> Match | None:
    """Compare two recordings at an offset, and a frame to either side of it."""
    tried = [(_different(sought[one], known[other], near), near) for near in (offset, offset - 1, offset + 1)]
    matching = [(different, near) for different, near in tried if different is not None]
    if not matching:
        return None
    different, near = min(matching)
    return Match(one, other, near * HOP_S, different)


def _different(one: Fingerprint, other: Fingerprint, offset: int) -> float | None:
    """Share of the bits that differ at an offset; null where that is no match."""
    start, stop = max(0, -offset), min(len(one.bits), len(other.bits) - offset)
    if stop - start < LEAST_FRAMES:
        return None
    ours, theirs = slice(start, stop), slice(start + offset, stop + offset)
    telling = one.telling[ours] & other.telling[theirs]
    count = int(telling.sum())
    if count < max(LEAST_FRAMES, _LEAST_SHARE * min(one.telling.sum(), other.telling.sum())):
        return None
    wrong = int(np.bitwise_count(one.bits[ours][telling] ^ other.bits[theirs][telling]).sum())
    different = wrong / (BITS * count)
    beyond_chance = 0.5 - _DEVIATIONS * 0.5 / (_INDEPENDENT_BITS * count) ** 0.5
    return different if different <= min(_MOST_DIFFERENT, beyond_chance) else None


def _turned_round(match: Match) -> Match:
    return Match(match.second, match.first, -match.offset_s, match.different)
