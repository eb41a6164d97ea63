"""Word by word: what was said, and beside it what was heard before a change and after it."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.score.alignment import align


@dataclass(frozen=True)
class Place:
    """A place of an alignment; a text is empty where nothing is there.

    Attributes:
        reference: The word that was said; empty where words were added.
        before: What was heard there before the change; several words where more than one was added.
        after: What was heard after it.
    """

    reference: str
    before: str
    after: str


def aligned(reference: str, before: str, after: str) -> list[Place]:
    """Align two texts with what was said, each with the fewest edits, as the word error rate counts them.

    Args:
        reference: What was said, normalised; words are what whitespace separates.
        before: What was heard before, likewise.
        after: What was heard after, likewise.

    Returns:
        A place for each word of the reference, and for what either text adds between two of them.
    """
    words = reference.split()
    told = [_heard(words, text.split()) for text in (before, after)]
    places = []
    for at in range(len(words) + 1):
        added = [" ".join(more[at]) for _, more in told]
        if any(added):
            places.append(Place("", *added))
        if at < len(words):
            places.append(Place(words[at], *(heard[at] for heard, _ in told)))
    return places


def _heard(words: Sequence[str], heard: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Say what was heard for each word, and what was added before it, or at the end."""
    instead = [""] * len(words)
    added: list[list[str]] = [[] for _ in range(len(words) + 1)]
    for step in align(words, heard):
        if step.heard is None:
            continue
        if step.said is None:
            added[step.place].append(heard[step.heard])
        else:
            instead[step.said] = heard[step.heard]
    return instead, added
