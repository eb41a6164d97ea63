"""Whether two transcripts are the same sentence, whatever their spelling."""

import unicodedata

_FIRST_ACCENT = 200
"""Canonical combining classes from here on are marks above, below or across a letter (Unicode Standard, table 4-3).

Lower ones are parts of letters: vowel signs, viramas and nuktas of Indic scripts, the voicing marks of kana, vowels
of Thai, points of Hebrew and Arabic.
"""

_GONE = dict.fromkeys(map(ord, "'`\u00b4\u02bc\u2018\u2019"))  # apostrophes, and what is typed for them


def plain(text: str) -> str:
    """Reduce a transcript to what tells sentences apart: letters and digits of any script, in words.

    Case, accents, punctuation and symbols go, and compatible forms (ligatures, full width) become one. An apostrophe
    joins (``don't`` is ``dont``), all else that goes divides. Sentences that differ in accents alone become equal: two
    corpora that spell ``dŵr`` and ``dwr`` mean the same, and a clash too many is seen, one too few is not.
    """
    folded = unicodedata.normalize(
        "NFKD", text.translate(_GONE)
    ).casefold()  # some letters are capitals only when apart
    taken_apart = unicodedata.normalize("NFKD", folded)
    kept = "".join(
        mark if unicodedata.category(mark)[0] in "LMN" else " "
        for mark in taken_apart
        # Soft hyphens, joiners and marks of direction divide nothing, but for the blank of no width.
        if unicodedata.combining(mark) < _FIRST_ACCENT and (unicodedata.category(mark) != "Cf" or mark == "\u200b")
    )
    return unicodedata.normalize("NFC", " ".join(kept.split()))
