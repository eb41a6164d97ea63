"""A small table as the templates want it: heads, which of them are of numbers, and rows of text."""

from collections.abc import Sequence
from typing import Any


def sheet(heads: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1, **more: Any) -> dict[str, Any]:
    """Make a table, its first columns words and the others numbers.

    Args:
        heads: Names of the columns.
        rows: A text a column.
        words: How many columns, from the first, hold words.
        **more: What else the templates are to know with it.
    """
    return {
        "heads": [(head, at >= words) for at, head in enumerate(heads)],
        "rows": [list(row) for row in rows],
        **more,
    }
