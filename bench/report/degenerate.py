"""Which utterances of a setting are degenerate: no misheard speech, but loops, text in silence, the wrong language."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.printable import clean
from bench.report.labels import plain
from bench.report.tables import DEGENERATE, Block

_MOST_SETTINGS = 5
_MOST_NAMED = 3

# What is said of one utterance, and of several.
_VERBS = dict(
    zip(
        DEGENERATE,
        (
            ("loops", "loop"),
            ("has text in silence", "have text in silence"),
            ("is in the wrong language", "are in the wrong language"),
        ),
        strict=True,
    )
)


def degenerate_settings(block: Block, utterances: pd.DataFrame) -> list[str]:
    """Say of each setting how many utterances of its typical run are degenerate, and name the first of them.

    Args:
        block: The settings.
        utterances: Rows of the utterances table, of these runs and any others.

    Returns:
        A sentence a setting, in the order of the settings table; none where all is well. After some, a last sentence
        counts the rest.
    """
    affected = block.table[_affected(block)]
    told: list[str] = []
    for _, row in affected.head(_MOST_SETTINGS).iterrows():
        mine = utterances[utterances["run_id"] == row["typical_run"]]
        parts = [
            _part(mine.loc[chosen, "utterance_id"], name) for name, chosen in _chosen(mine).items() if chosen.any()
        ]
        count = int(mine["hypothesis"].notna().sum())
        told.append(
            f"{row['label']}: of {count} utterance{'s' if count > 1 else ''} {', '.join(parts)};"
            " such errors are not those of misheard words."
        )
    if more := len(affected) - len(told):
        told.append(f"{more} more setting{'s have' if more > 1 else ' has'} such utterances; the table counts them.")
    return told


def counts_text(row: "pd.Series[Any]") -> str:
    """Write a setting's counts of degenerate utterances as a cell of a table, "loops / silence / language"."""
    return " / ".join("\N{EN DASH}" if pd.isna(row[name]) else f"{row[name]:.0f}" for name in DEGENERATE)


def any_degenerate(block: Block) -> bool:
    """Tell whether any setting of a block has degenerate utterances."""
    return bool(_affected(block).any())


def faults(row: Mapping[str, Any]) -> list[str]:
    """Name what is wrong with one row of the utterances table."""
    silent_words = plain(row["silent_words"])
    marks = (
        plain(row["looping"]) is True,
        silent_words is not None and float(str(silent_words)) > 0,
        plain(row["wrong_language"]) is True,
    )
    return [verbs[0] for verbs, is_so in zip(_VERBS.values(), marks, strict=True) if is_so]


def _affected(block: Block) -> "pd.Series[bool]":
    return (block.table[list(DEGENERATE)] > 0).any(axis=1)


def _chosen(utterances: pd.DataFrame) -> dict[str, "pd.Series[bool]"]:
    """Mark the utterances that each of the run's counts has counted."""
    # Comparisons with null are false.
    marks = utterances["looping"].eq(True), utterances["silent_words"] > 0, utterances["wrong_language"].eq(True)
    return dict(zip(DEGENERATE, marks, strict=True))


def _part(names: "pd.Series[str]", column: str) -> str:
    shown = [clean(str(name)) for name in names.head(_MOST_NAMED)]
    more = len(names) - len(shown)
    told = ", ".join(shown) + (f" and {more} more" if more else "")
    return f"{len(names)} {_VERBS[column][len(names) > 1]} ({told})"
