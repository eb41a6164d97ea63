"""From normalised words back to those that a model wrote, which alone have times and windows.

A normaliser may make two words of one ("can't": "can not"), one of two ("twenty five": "25"), or none ("[music]"), and
looks at a text as a whole. So each written word is normalised by itself, and what comes of them is aligned with the
words of the whole; where the two differ, the words of either side are matched in order, by how far along they are.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise

from rapidfuzz.distance import Levenshtein

# Shares of a text that should be equal may differ by this.
_ROUNDING = 1e-9


def origins(
    normalized: Sequence[str], written: Sequence[str], normalize: Callable[[str], str]
) -> list[tuple[int, int]]:
    """Tell which written words each normalised word came from.

    Args:
        normalized: Words of the whole text, normalised.
        written: The words as they were written; those of a language without blanks are parts of what whitespace
            separates.
        normalize: The normaliser; it is asked for one written word at a time.

    Returns:
        Number of the first written word and the number after the last, for each normalised word; at least one word,
        and never going back. Empty where no written word leaves anything.
    """
    parts = [(part, number) for number, word in enumerate(written) for part in normalize(word).split()]
    if not parts:
        return []
    spans: list[tuple[int, int]] = []
    for alike, mine, theirs in _stretches([part for part, _ in parts], normalized):
        if alike:
            spans += [(number, number + 1) for _, number in parts[theirs.start : theirs.stop]]
        else:  # words made of nothing are taken for the word before, or the first
            near = parts[theirs.start : theirs.stop] or parts[max(0, theirs.start - 1) : max(1, theirs.start)]
            spans += _matched(normalized[mine.start : mine.stop], near)
    return spans


def _stretches(parts: Sequence[str], normalized: Sequence[str]) -> Iterator[tuple[bool, range, range]]:
    """Yield stretches that are alike and that are not: whether, and the numbers of either side's words."""
    codes = Levenshtein.opcodes(parts, normalized)
    for alike, group in groupby(codes, key=lambda code: code.tag == "equal"):
        steps = list(group)
        mine = range(steps[0].dest_start, steps[-1].dest_end)
        yield alike, mine, range(steps[0].src_start, steps[-1].src_end)


def _matched(words: Sequence[str], parts: Sequence[tuple[str, int]]) -> list[tuple[int, int]]:
    """Match each word with the parts that lie where its letters do, both texts taken as equally long."""
    borders = list(pairwise(_shares([part for part, _ in parts])))
    spans = []
    for first, last in pairwise(_shares(words)):
        touched = [
            number
            for (_, number), (start, stop) in zip(parts, borders, strict=True)
            if start < last - _ROUNDING and stop > first + _ROUNDING
        ]
        spans.append((touched[0], touched[-1] + 1))
    return spans


def _shares(words: Sequence[str]) -> list[float]:
    """How far along a text each word begins, from 0, and where the last one ends, 1."""
    total = sum(map(len, words))
    shares, reached = [0.0], 0
    for word in words:
        reached += len(word)
        shares.append(reached / total)
    return shares
