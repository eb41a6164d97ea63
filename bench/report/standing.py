"""The recommended settings against the most accurate one: the differences of their WERs, and how sure these are."""

from typing import Any

import pandas as pd

from bench.report.accuracy import Accuracy, segments_against
from bench.report.frontier import Recommendation
from bench.report.sheet import sheet
from bench.report.tables import Block
from bench.report.verdict import recommended_rows
from bench.score.interval import Interval
from bench.score.segments import MatchedPairs

_DASH = "\N{EN DASH}"


def standing(block: Block, recommendation: Recommendation, found: Accuracy, utterances: pd.DataFrame) -> dict[str, Any]:
    """Set the recommended settings against the most accurate one, as a table for the templates.

    Args:
        block: The settings.
        recommendation: What is recommended of them.
        found: What their errors tell.
        utterances: The study's utterances.

    Returns:
        The table, with ``notes``; without rows where no two of them were tested.
    """
    picked = [str(row.name) for _, row in recommended_rows(block, recommendation, found.fastest_tied(block))]
    shown = [trial for trial in dict.fromkeys(picked) if trial != found.best and trial in found.against]
    rows = []
    for trial in shown:
        one = found.against[trial]
        pairs = segments_against(block, found, trial, utterances)
        rows.append(
            [
                str(block.row(trial)["label"]),
                _difference(one.difference),
                p_of(one.p_value),
                _segments(pairs),
                "cannot be told apart" if one.tied else "different",
            ]
        )
    heads = ["Setting", "WER less the best's [points] (95 %)", "p, corrected", "p, matched pairs (segments)", "Verdict"]
    others = len(found.against) - 1
    among = f" among {others} settings" if others > 1 else ""
    notes = [
        f"Units of the interval and of the corrected p are {found.units}; they are exchanged between the settings. The"
        f" correction is for the search{among} and for the best having been chosen by these errors (a model confidence"
        " set at the 5 % level); the interval is of its pair alone.",
        "Matched pairs is the segment test of NIST's scoring toolkit (Gillick and Cox 1989), uncorrected and without"
        " regard to speakers, for comparison with other reports; the verdict does not rest on it.",
    ]
    return sheet(heads, rows, notes=notes if rows else [])


def p_of(value: float) -> str:
    """Write a p-value: "0.23", "0.004", or that it is below what was resampled."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.0995 else f"{value:.2f}"


def _difference(found: Interval) -> str:
    value = f"{100 * found.value:+.2f}"
    if found.low is None or found.high is None:
        return value
    return f"{value} ({100 * found.low:+.2f} to {100 * found.high:+.2f})".replace("-", "\u2212")


def _segments(found: MatchedPairs | None) -> str:
    if found is None:
        return _DASH
    return f"{_DASH if found.p_value is None else p_of(found.p_value)} ({found.segments})"
