"""Word by word, how what was heard goes with what was said: the alignment that the word error rate counts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from bench.records import WordCounts


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an alignment: a word said, a word heard, or one of each.

    Attributes:
        place: Number of reference words before it.
        said: Its reference word, by number; null where a word was inserted.
        heard: Its hypothesis word, by number; null where a word was deleted.
        right: Whether the two are the same word.
    """

    place: int
    said: int | None
    heard: int | None
    right: bool


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> list[Step]:
    """Align two texts with the fewest edits; of several such alignments, the one that :mod:`bench.score.wer` counts.

    Args:
        reference: Normalised words; may be none.
        hypothesis: Likewise.

    Returns:
        Every word of both texts once, in order.
    """
    steps: list[Step] = []
    for part in Levenshtein.opcodes(reference, hypothesis):
        said, heard = range(part.src_start, part.src_end), range(part.dest_start, part.dest_end)
        if part.tag == "insert":
            steps += [Step(part.src_start, None, number, False) for number in heard]
        elif part.tag == "delete":
            steps += [Step(number, number, None, False) for number in said]
        else:  # as many words on both sides
            right = part.tag == "equal"
            steps += [Step(one, one, other, right) for one, other in zip(said, heard, strict=True)]
    return steps


def counts(steps: Iterable[Step]) -> WordCounts:
    """Count the steps of each kind."""
    substitutions = deletions = insertions = hits = 0
    for step in steps:
        hits += step.right
        insertions += step.said is None
        deletions += step.heard is None
        substitutions += not step.right and step.said is not None and step.heard is not None
    return WordCounts(substitutions, deletions, insertions, hits)
