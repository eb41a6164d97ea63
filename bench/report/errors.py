"""Where the errors of the recommended setting come from: what was confused, seams, and kinds of utterances."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from bench.config import Merge, Strategy
from bench.report.confused import confused
from bench.report.frontier import Recommendation, recommend
from bench.report.kinds import kinds
from bench.report.reading import Reader, Reading
from bench.report.seams import seams
from bench.report.tables import Block

_MOST_OTHERS = 23
"""Settings beside the recommended one whose texts are aligned: a sweep of 24 is told of in full."""

_MOST_WORDS = 150_000
"""Reference words that are aligned in one block: about 15 s of a processor of 2020, most of them for normalising."""

_MOST_MINE = 50_000
"""Of them, those of the recommended setting."""


def error_sections(found: Sequence[Block], load: Callable[[set[str]], pd.DataFrame]) -> list[dict[str, Any]]:
    """Gather what a report says of where errors come from.

    Args:
        found: The study's blocks.
        load: Loads the utterances of runs, by their ``run_id``: all columns of the few runs that are told of.

    Returns:
        A mapping a block, in the shape the templates want: ``title``, ``label`` (the setting told of), ``confused``,
        ``seams``, ``kinds`` and ``notes``. Blocks are left out in which no text was scored, as with random weights.
    """
    told = [(block, _section(block, recommend(block), load)) for block in found]
    return [{"title": block.title} | section for block, section in told if section is not None]


def _section(
    block: Block, recommendation: Recommendation, load: Callable[[set[str]], pd.DataFrame]
) -> dict[str, Any] | None:
    if recommendation.picks is None:
        return None
    mine = block.row(recommendation.picks.recommended)
    rows = _scored(load({str(mine["typical_run"])}))
    shown = evenly(rows, _MOST_MINE)
    reader = Reader(block)
    readings = list(reader.read(shown))
    if not readings:
        return None
    label = str(mine["label"])
    others = _others(block, recommendation, len(shown) * max(1.0, shown["reference_words"].mean()))
    elsewhere = _read_others(block, others, load, shown["utterance_id"], reader)
    return {
        "label": label,
        "confused": confused(readings, elsewhere),
        "seams": seams(label, readings, elsewhere, _cures(block, recommendation.picks.recommended)),
        "kinds": kinds(rows, readings),
        "notes": _notes(rows, shown, readings, recommendation.compared - 1, len(elsewhere)),
    }


def _scored(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["hypothesis"].notna() & rows["reference_words"].notna()]


def _read_others(
    block: Block,
    trials: Sequence[str],
    load: Callable[[set[str]], pd.DataFrame],
    names: "pd.Series[str]",
    reader: Reader,
) -> dict[str, list[Reading]]:
    """Read the same utterances in other settings' typical runs, by the settings' names."""
    labels = {str(block.row(trial)["typical_run"]): str(block.row(trial)["label"]) for trial in trials}
    rows = load(set(labels))
    chosen = _scored(rows[rows["utterance_id"].isin(names)])
    of_run = dict(list(chosen.groupby("run_id")))
    return {label: list(reader.read(of_run[run])) for run, label in labels.items() if run in of_run}


def evenly(rows: pd.DataFrame, most_words: int) -> pd.DataFrame:
    """Take as many utterances as have so many words, evenly from all; at least one."""
    words = rows["reference_words"].sum()
    if words <= most_words:
        return rows
    count = max(1, int(len(rows) * most_words / words))
    return rows.iloc[[at * len(rows) // count for at in range(count)]]


def _others(block: Block, recommendation: Recommendation, words: float) -> list[str]:
    """Choose other settings that can be compared, evenly from the most to the least accurate."""
    picks = recommendation.picks
    fit = [
        str(trial)
        for trial in block.table.index
        if trial not in recommendation.excluded and picks is not None and trial != picks.recommended
    ]
    most = min(_MOST_OTHERS, int((_MOST_WORDS - words) / words))
    if len(fit) <= most:
        return fit
    return [fit[at * len(fit) // most] for at in range(most)]


def _cures(block: Block, trial: str) -> list[str]:
    """Name what may mend errors at seams, of what a setting leaves to be changed."""
    run = block.runs[block.runs["trial_id"] == trial].iloc[-1]
    if run["decode.strategy"] != Strategy.chunked.value:
        return []
    return ["a longer stride", *([] if run["decode.merge"] == Merge.aligned.value else ["decode.merge=aligned"])]


def _notes(
    rows: pd.DataFrame, shown: pd.DataFrame, readings: Sequence[Reading], possible: int, aligned: int
) -> list[str]:
    """Say what was left out."""
    told = []
    if len(shown) < len(rows):
        told.append(f"{len(shown):,} of {len(rows):,} utterances were aligned, evenly chosen.")
    if (lost := len(shown) - len(readings)) > 0:
        told.append(
            f"{lost:,} utterances are left out: their texts, aligned now, give other counts of errors than the run"
            " recorded, as where another version of the normaliser scored them."
        )
    if aligned < possible:
        told.append(f"Of {possible:,} other settings {aligned:,} were aligned, evenly from the best to the worst.")
    return told
