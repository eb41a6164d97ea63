"""A piece of a text for people, which a terminal and Markdown show alike: a title, a table, and lines."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

from bench.printable import clean


@dataclass(frozen=True)
class Passage:
    """Plain text; whoever shows it escapes it.

    Attributes:
        title: May be empty.
        heads: Of the table's columns; none where there is no table.
        rows: A text a column.
        lines: What stands below.
        words: How many columns, from the first, hold words; the others hold numbers.
    """

    title: str = ""
    heads: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    lines: tuple[str, ...] = ()
    words: int = 1


def markdown(passages: Sequence[Passage]) -> str:
    """Write passages as Markdown for a comment on a pull request; the first title is the largest."""
    parts = []
    for number, passage in enumerate(passages):
        if passage.title:
            parts.append(f"{'##' if number == 0 else '###'} {escaped(passage.title)}")
        if passage.heads:
            parts.append(markdown_table(passage.heads, passage.rows, passage.words))
        if passage.lines:
            parts.append("\n".join(f"- {escaped(line)}" for line in passage.lines))
    return "\n\n".join(parts) + "\n"


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """Write a table as GitHub's Markdown has it, numbers to the right.

    Args:
        heads: Names of the columns.
        rows: A text a column.
        words: How many columns, from the first, hold words.
    """
    rule = ["---" if at < words else "---:" for at in range(len(heads))]
    lines = [[escaped(text) for text in heads], rule, *([escaped(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escaped(text: object) -> str:
    """Write text as Markdown that shows it as it is: on one line, with no markup, mention, table border or HTML."""
    plain = re.sub(r"([\\`*_\[\]|#~$])", r"\\\1", html.escape(clean(str(text)), quote=False))
    return re.sub(r"@(?=\w)", "@\N{ZERO WIDTH NON-JOINER}", plain)  # nobody is to be called by a transcript
