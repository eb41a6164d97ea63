"""What commands print: tables, lines and passages; drawn on a terminal, plain and a line a row in a pipe.

Every text is cleaned of control characters first, which could otherwise move the cursor, or worse. Imports
are made where they are needed: ``--help`` prints nothing of this.
"""

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.printable import clean

if TYPE_CHECKING:
    from bench.report.heard import Piece
    from bench.report.passage import Passage

_PIPED_WIDTH = 400  # a program that reads a table wants a line a row


def ready_streams() -> None:
    """Let whatever is printed be printed: to nowhere where a stream is closed, and with ``?`` for what it cannot spell.

    Cron, for one, may start programs without a standard output.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the end
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def discard_output() -> None:
    """Send what is left to be written to nowhere, or Python complains at its end that it cannot be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]], words: int | None = None) -> None:
    """Print a table.

    Args:
        heads: Names of the columns.
        rows: A text a column.
        words: How many columns, from the first, hold words; the others hold numbers. Null takes all for words.
    """
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from bench.console import Console

    terminal = sys.stdout.isatty()
    table = Table(box=box.HEAVY_HEAD if terminal else None)
    for at, head in enumerate(heads):
        table.add_column(escape(clean(head)), justify="left" if words is None or at < words else "right")
    for row in rows:
        table.add_row(*(escape(clean(text)) for text in row))
    Console(width=None if terminal else _PIPED_WIDTH).print(table)


def print_lines(lines: Sequence[str]) -> None:
    """Print lines, each as long as it is."""
    from bench.console import Console, print_line

    console = Console()
    for line in lines:
        print_line(console, line)


def print_passages(passages: "Sequence[Passage]") -> None:
    """Print passages, with a blank line between them."""
    from rich.text import Text

    from bench.console import Console

    console = Console()
    for number, passage in enumerate(passages):
        if number:
            console.print()
        if passage.title:
            console.print(Text(clean(passage.title), style="bold"), soft_wrap=True)
        if passage.heads:
            print_table(passage.heads, passage.rows, passage.words)
        print_lines(passage.lines)


def print_alignment(pieces: "Sequence[Piece]") -> None:
    """Print what was heard against what was said: ``[-said-]{+heard+}`` as wdiff marks it, in colour on a terminal."""
    from rich.text import Text

    from bench.console import Console

    line = Text()
    for piece in pieces:
        if isinstance(piece, int):
            line.append(f"[... {piece} words ...] ", style="dim")
        elif isinstance(piece, str):
            line.append(f"{clean(piece)} " if piece else "")
        else:
            said, heard = map(clean, piece)
            line.append(f"[-{said}-]" if said else "", style="red")
            line.append(f"{{+{heard}+}}" if heard else "", style="green")
            line.append(" ")
    line.rstrip()
    Console(highlight=False).print(line, soft_wrap=not sys.stdout.isatty())
