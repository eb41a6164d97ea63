"""Word errors along a long recording, in blocks of its reference: units in which two transcripts of it are paired.

Words come in normalised; errors are substitutions, deletions and insertions under an alignment with the fewest edits,
as :mod:`bench.score.wer` counts them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein


def block_errors(reference: Sequence[str], hypothesis: Sequence[str], size: int) -> NDArray[np.int64]:
    """Count the word errors in each block of consecutive reference words.

    An insertion belongs to the block of the reference word before it; one before the first word, to the first block.

    Args:
        reference: Words of the whole recording; without any there is one block, which takes the insertions.
        hypothesis: Words of its whole transcript.
        size: Reference words a block; the last may have fewer.

    Returns:
        Errors of each block, shape ``(blocks,)``; their sum is the transcript's S + D + I.
    """
    errors = np.zeros(max(1, -(-len(reference) // size)), dtype=np.int64)
    for edit in Levenshtein.editops(reference, hypothesis):
        errors[max(0, edit.src_pos - (edit.tag == "insert")) // size] += 1
    return errors


def words_reached(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Tell how many words of the reference a transcript of only the recording's beginning has come to.

    It is taken to end where the reference's beginning is nearest to it in edits, the first such place. A transcript
    that lacks much of what was said seems to end too early.
    """
    return int(np.argmin(_prefix_distances(reference, hypothesis)))


def leading_block_errors(
    reference: Sequence[str], hypothesis: Sequence[str], size: int, spoken: int = 0
) -> NDArray[np.int64]:
    """Count the word errors of the blocks that a transcript of only the recording's beginning has surely completed.

    The transcript is taken to end where :func:`words_reached` says, or after the words that are known to be spoken by
    then. Blocks that end within half a block of there are left out: the words still to come may change how the last
    ones are aligned.

    With nothing known, and however the transcript goes on, its errors over all blocks cannot come to fewer than the sum
    returned, as any alignment of the whole also aligns this beginning with some beginning of the reference.

    Args:
        reference: Words of the whole recording.
        hypothesis: Words of its transcript so far; none of them may change later.
        size: Reference words a block.
        spoken: Words of the reference that the transcribed part of the recording is known to hold.

    Returns:
        Errors of the first blocks, shape ``(blocks so far,)``, from none to all but the last.
    """
    reached = max(words_reached(reference, hypothesis), min(spoken, len(reference)))
    completed = max(0, reached - -(-size // 2)) // size
    return block_errors(reference[:reached], hypothesis, size)[:completed]


def _prefix_distances(reference: Sequence[str], hypothesis: Sequence[str]) -> NDArray[np.int64]:
    """Edit distance of the hypothesis to each prefix of the reference, shape ``(reference words + 1,)``.

    Columns of the table of distances are kept as their vertical steps of +1 and -1, a bit each (Myers, J. ACM 46, 1999,
    as rewritten by Hyyro, 2003), in integers of as many bits as the reference has words: some milliseconds for 2,000.
    """
    places: dict[str, int] = {}
    for place, word in enumerate(reference):
        places[word] = places.get(word, 0) | 1 << place
    every = (1 << len(reference)) - 1
    up, down = every, 0
    for word in hypothesis:
        same = places.get(word, 0)
        diagonal = (((same & up) + up) ^ up) | same | down
        right, left = down | ~(diagonal | up), diagonal & up
        right, left = right << 1 | 1, left << 1
        up, down = (left | ~(diagonal | right)) & every, right & diagonal & every
    steps = _bits(up, len(reference)) - _bits(down, len(reference))
    return len(hypothesis) + np.concatenate([[0], np.cumsum(steps)])


def _bits(number: int, count: int) -> NDArray[np.int64]:
    """The lowest bits of a number, the lowest first, shape ``(count,)``."""
    packed = np.frombuffer(number.to_bytes(-(-count // 8), "little"), dtype=np.uint8)
    return np.unpackbits(packed, count=count, bitorder="little").astype(np.int64)
