"""What was heard for what: the errors of an alignment, those of neighbouring words together where they belong together.

The fewest edits turn "a loan" heard as "alone" into a deletion and a substitution, which tells nobody what happened.
Within a stretch of errors between two right words, the words said and heard are therefore grouped anew: so that their
letters, blanks apart, agree as well as they can. A group of ``i`` words said and ``j`` heard stands for ``max(i, j)``
errors, and no grouping is taken whose errors come to more than the word error rate counts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from bench.score.alignment import Step

_MOST_WORDS = 3
"""Words of a group on either side; longer ones are hardly ever met twice."""

_MOST_PAIRS = 400
"""Words said times words heard up to which a stretch is grouped; beyond, as where a decoder has run wild, every step
stands for itself."""

# One letter in two groups that go together; of equal groupings that with more groups is taken.
_JOINT = 0.5
# More than any number of letters: the number of errors decides first.
_ERROR = 1e6


@dataclass(frozen=True, slots=True)
class Confusion:
    """Words that were said, and what was heard instead.

    Attributes:
        start: Number of the first reference word.
        stop: Number after the last; ``start`` where words were inserted before it.
        heard_start: Number of the first hypothesis word.
        heard_stop: Number after the last; ``heard_start`` where a word was deleted.
    """

    start: int
    stop: int
    heard_start: int
    heard_stop: int

    @property
    def errors(self) -> int:
        """Word errors it stands for."""
        return max(self.stop - self.start, self.heard_stop - self.heard_start)


def confusions(reference: Sequence[str], hypothesis: Sequence[str], steps: Sequence[Step]) -> list[Confusion]:
    """List the errors of an alignment.

    Args:
        reference: Words said.
        hypothesis: Words heard.
        steps: Their alignment (:func:`bench.score.alignment.align`).

    Returns:
        Confusions in order; their errors come to the alignment's S + D + I.
    """
    found: list[Confusion] = []
    for stretch in _stretches(steps):
        start, heard_start = stretch[0].place, next((one.heard for one in stretch if one.heard is not None), 0)
        said = sum(one.said is not None for one in stretch)
        heard = sum(one.heard is not None for one in stretch)
        if not said or not heard or said * heard > _MOST_PAIRS:
            found += _one_by_one(stretch)
            continue
        shapes = _grouped(reference[start : start + said], hypothesis[heard_start : heard_start + heard])
        for taken, given in shapes:
            found.append(Confusion(start, start + taken, heard_start, heard_start + given))
            start, heard_start = start + taken, heard_start + given
    return found


def _stretches(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Yield each run of errors between right words."""
    stretch: list[Step] = []
    for step in steps:
        if not step.right:
            stretch.append(step)
        elif stretch:
            yield stretch
            stretch = []
    if stretch:
        yield stretch


def _one_by_one(stretch: Sequence[Step]) -> Iterator[Confusion]:
    heard = next((one.heard for one in stretch if one.heard is not None), 0)
    for step in stretch:
        after = heard + (step.heard is not None)
        yield Confusion(step.place, step.place + (step.said is not None), heard, after)
        heard = after


def _grouped(said: Sequence[str], heard: Sequence[str]) -> list[tuple[int, int]]:
    """Group a stretch's words: the number of words said and heard of each group, those of the cheapest grouping."""
    cheapest: dict[tuple[int, int], tuple[float, tuple[int, int]]] = {(0, 0): (0.0, (0, 0))}
    for one in range(len(said) + 1):
        for other in range(len(heard) + 1):
            options = [
                (cheapest[one - i, other - j][0] + _cost(said[one - i : one], heard[other - j : other]), (i, j))
                for i in range(min(one, _MOST_WORDS) + 1)
                for j in range(min(other, _MOST_WORDS) + 1)
                if i + j and ((i and j) or i + j == 1)
            ]
            if options:
                cheapest[one, other] = min(options)
    shapes: list[tuple[int, int]] = []
    at = (len(said), len(heard))
    while at != (0, 0):
        shape = cheapest[at][1]
        shapes.append(shape)
        at = (at[0] - shape[0], at[1] - shape[1])
    return shapes[::-1]


def _cost(said: Sequence[str], heard: Sequence[str]) -> float:
    letters = Levenshtein.distance("".join(said), "".join(heard))
    return _ERROR * max(len(said), len(heard)) + letters + _JOINT * (len(said) + len(heard) > 2)
