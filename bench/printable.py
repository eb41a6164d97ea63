"""Text that others wrote, made fit to be shown: nothing in it moves a cursor, or turns the line it stands in around."""

import unicodedata

# Persian and the scripts of India spell words with these, which Python calls unprintable.
_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"


def printable(text: str) -> str:
    """Replace what cannot be printed, but for tabs and ends of lines."""
    return "".join(mark if _is_shown(mark) or mark in "\n\t" else "\N{REPLACEMENT CHARACTER}" for mark in text)


def clean(text: str) -> str:
    """Put text on one line and replace what cannot be printed, so that no control character reaches an output."""
    return printable(" ".join(text.split()))


def _is_shown(mark: str) -> bool:
    return mark.isprintable() or mark in _JOINERS or unicodedata.category(mark) == "Zs"
