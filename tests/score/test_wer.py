import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.records import WordCounts
from bench.score.wer import count_words


def edit_distance(reference: list[str], hypothesis: list[str]) -> int:
    """Levenshtein's distance by Wagner and Fischer's table (J. ACM 21, 1974), a row at a time."""
    row = list(range(len(hypothesis) + 1))
    for deleted, word in enumerate(reference, 1):
        above = row
        row = [deleted]
        for column, heard in enumerate(hypothesis, 1):
            row.append(min(above[column] + 1, row[-1] + 1, above[column - 1] + (word != heard)))
    return row[-1]


# Reference, hypothesis, and the counts (substitutions, deletions, insertions, hits) worked out by hand.
CASES = [
    ("the cat sat", "the cat sat", (0, 0, 0, 3)),
    ("the cat sat", "the bat sat", (1, 0, 0, 2)),
    ("the cat sat", "the sat", (0, 1, 0, 2)),
    ("the cat sat", "the fat cat sat", (0, 0, 1, 3)),
    ("the cat sat", "", (0, 3, 0, 0)),
    ("the cat sat", "a b c", (3, 0, 0, 0)),
    ("a b c d", "b c d e", (0, 1, 1, 3)),
    ("one", "one one one", (0, 0, 2, 1)),
    ("a", "A", (1, 0, 0, 0)),  # case is the normaliser's business
    ("a-b", "a b", (1, 0, 1, 0)),
    ("", "", (0, 0, 0, 0)),
    ("", "two words", (0, 0, 2, 0)),
    (" \t\n", "\u00a0", (0, 0, 0, 0)),
    # No-break space, ideographic space and line separator separate words like any whitespace.
    ("one\u00a0two\u3000three\u2028four", "one  two\tthree\n\nfour", (0, 0, 0, 4)),
    ("  padded words  ", "padded words", (0, 0, 0, 2)),
]


@pytest.mark.parametrize(("reference", "hypothesis", "counts"), CASES)
def test_counts_worked_by_hand(reference: str, hypothesis: str, counts: tuple[int, int, int, int]) -> None:
    assert count_words(reference, hypothesis) == WordCounts(*counts)


TEXTS = st.lists(st.sampled_from(["a", "b", "c", "dŵr", "e'r"]), max_size=12).map(" ".join)
ANY_TEXT = st.text(max_size=30)


@given(reference=TEXTS | ANY_TEXT, hypothesis=TEXTS | ANY_TEXT)
def test_the_alignment_is_minimal_and_accounts_for_every_word(reference: str, hypothesis: str) -> None:
    counts = count_words(reference, hypothesis)
    spoken, heard = reference.split(), hypothesis.split()
    assert counts.substitutions + counts.deletions + counts.insertions == edit_distance(spoken, heard)
    assert counts.substitutions + counts.deletions + counts.hits == len(spoken) == counts.reference_words
    assert counts.insertions + counts.substitutions + counts.hits == len(heard)
    assert min(counts.substitutions, counts.deletions, counts.insertions, counts.hits) >= 0


@given(text=ANY_TEXT)
def test_a_text_has_no_errors_against_itself(text: str) -> None:
    assert count_words(text, text) == WordCounts(hits=len(text.split()))


def test_the_error_rate_is_errors_by_reference_words() -> None:
    assert count_words("a b c d", "a x c d e").wer == 2 / 4
    assert count_words("a", "b c d").wer == 3.0


@pytest.mark.parametrize("hypothesis", ["", "invented words"])
def test_an_empty_reference_has_no_error_rate(hypothesis: str) -> None:
    assert count_words("", hypothesis).wer is None


def test_counts_add_up_to_a_ratio_of_sums() -> None:
    # 1 error in 1 word and none in 3: a mean of rates would be 50 %, the corpus has 25 %.
    parts = [count_words("yes", "no"), count_words("a b c", "a b c"), count_words("", "")]
    assert sum(parts, WordCounts()) == WordCounts(substitutions=1, hits=3)
    assert sum(parts, WordCounts()).wer == 0.25
