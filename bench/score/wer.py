"""Word errors of one utterance, as addable counts."""

import jiwer

from bench.records import WordCounts


def count_words(reference: str, hypothesis: str) -> WordCounts:
    """Align two normalised texts word by word, with the fewest edits, and count them.

    Words are what whitespace separates. A reference without words has no error rate: its count of insertions is kept
    and :attr:`WordCounts.wer` is null.
    """
    reference_words, hypothesis_words = reference.split(), hypothesis.split()
    if not reference_words:
        return WordCounts(insertions=len(hypothesis_words))
    found = jiwer.process_words(" ".join(reference_words), " ".join(hypothesis_words))
    return WordCounts(found.substitutions, found.deletions, found.insertions, found.hits)
