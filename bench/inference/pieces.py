"""A window's tokens as words, each with its time where that is known."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Languages written without blanks, as OpenAI's whisper/tokenizer.py (split_to_word_tokens) lists them.
UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "yue"})

_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"
_BLANKS = ("\u0120", "\u2581")  # how byte-level BPE and SentencePiece write the blank before a word


@dataclass(frozen=True)
class Piece:
    """A word as a window reads it, with the blank before it and the punctuation after.

    Attributes:
        text: What it adds to the text.
        window: Number of its window within the recording.
        start_s: Start within the recording, in seconds; an estimate unless ``timed``.
        end_s: End, likewise.
        timed: Whether the model told the times.
    """

    text: str
    window: int
    start_s: float
    end_s: float
    timed: bool = True

    @property
    def middle_s(self) -> float:
        """Middle of the word, in seconds."""
        return (self.start_s + self.end_s) / 2


def group(
    tokens: Sequence[int], spelled: Sequence[str], decode: Callable[[Sequence[int]], str], spaced: bool
) -> list[tuple[int, int]]:
    """Group tokens into words.

    Args:
        tokens: Token ids without special ones.
        spelled: Their entries in the vocabulary, which tell where a blank is.
        decode: Token ids to text.
        spaced: Whether the language puts blanks between words; where not, every character is taken for one.

    Returns:
        First token and the one after the last, for each word.
    """
    if spaced:
        starts = [at for at, entry in enumerate(spelled) if at == 0 or entry.startswith(_BLANKS)]
    else:
        starts = []
        begun = 0
        for at in range(len(tokens)):
            if _INCOMPLETE not in decode(tokens[begun : at + 1]):
                starts.append(begun)
                begun = at + 1
        if begun < len(tokens):
            starts.append(begun)
    return list(itertools.pairwise([*starts, len(tokens)]))


def spread(texts: Sequence[str], window: int, start_s: float, end_s: float) -> list[Piece]:
    """Place words of unknown times evenly over their window, each by its number of characters."""
    total = sum(map(len, texts)) or 1
    pieces, read = [], 0
    for text in texts:
        begin_s = start_s + (end_s - start_s) * read / total
        read += len(text)
        pieces.append(Piece(text, window, begin_s, start_s + (end_s - start_s) * read / total, timed=False))
    return pieces
