"""How far two hypotheses of the same speech have the same words, whichever of them is right.

Two systems of equal word error rate may err in different places, which their rates do not tell. Their texts are aligned
with each other, so that as many words as possible stand beside an equal one; the share of all words of both that do is
their agreement. That is the F1 score of the longest common subsequence, ROUGE-L with equal weights (Lin, "ROUGE: a
package for automatic evaluation of summaries", 2004, section 3.1). Unlike a word error rate it takes neither text for
the reference, and is the same both ways; a word put in place of another differs in both texts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz.distance import LCSseq


@dataclass(frozen=True)
class Agreement:
    """Addable counts of words.

    Attributes:
        equal: Words of either text that stand beside an equal one of the other.
        first: Words of the first text.
        second: Words of the second.
    """

    equal: int = 0
    first: int = 0
    second: int = 0

    def __add__(self, other: "Agreement") -> "Agreement":
        return Agreement(self.equal + other.equal, self.first + other.first, self.second + other.second)

    @property
    def words(self) -> int:
        """Words of both texts."""
        return self.first + self.second

    @property
    def differing(self) -> int:
        """Those of them that stand beside no equal one."""
        return self.words - 2 * self.equal

    @property
    def share(self) -> float | None:
        """Share of the words of both that agree; null where there are none."""
        return 2 * self.equal / self.words if self.words else None


def agreement(first: Sequence[str], second: Sequence[str]) -> Agreement:
    """Count the words of two texts that agree.

    Args:
        first: Normalised words; may be none.
        second: Likewise.
    """
    return Agreement(int(LCSseq.similarity(first, second)), len(first), len(second))
