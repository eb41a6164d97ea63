"""What racing saved: which runs were ended early, after how much of the data, and which setting beat them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from bench.metrics import RTFX, WER, Metric
from bench.printable import clean
from bench.records import Status
from bench.report.labels import plain
from bench.report.sheet import sheet
from bench.report.tables import Block
from bench.search.objectives import Goal

_MOST_ROWS = 40


def raced(found: Sequence[Block]) -> bool:
    """Tell whether any run took part in a race."""
    return any(block.runs["race_share"].notna().any() for block in found)


def races(found: Sequence[Block], goal: Goal, config: Mapping[str, Any]) -> dict[str, Any]:
    """Gather what a report says about races.

    Args:
        found: The blocks of a study in which any run was raced.
        goal: What the study is after.
        config: The settings of the latest start.

    Returns:
        A :func:`sheet` of the runs that were ended, a row each, with ``told`` (what was saved) and ``notes``.
    """
    metrics = list(dict.fromkeys([WER, *goal.objectives]))
    rows = [(block, run) for block in found for _, run in _ended(block).iterrows()]
    texts = [_row(block, run, metrics, len(found) > 1) for block, run in rows[:_MOST_ROWS]]
    shown = [at for at, _ in enumerate(metrics) if any(pd.notna(_so_far(run, metrics[at])) for _, run in rows)]
    heads = ["Setting", "Beaten by", "Share of the audio"]
    for at in shown:
        heads += [f"{metrics[at].label} so far", f"Rival's {metrics[at].label}"]
    cells = [[*words, *(cell for at in shown for cell in pairs[at])] for words, pairs in texts]
    return sheet(heads, cells, words=2, told=_told(found, config), notes=_notes(len(rows) - len(cells), bool(rows)))


def _ended(block: Block) -> pd.DataFrame:
    return block.runs[block.runs["status"] == Status.pruned.value].sort_values(["trial_number", "run_id"])


def _told(found: Sequence[Block], config: Mapping[str, Any]) -> list[str]:
    ended, runs, processed_s, whole_s = 0, 0, 0.0, 0.0
    for block in found:
        shares = block.runs["race_share"].dropna()
        audio_s = block.runs["audio_s"].max()  # the same for all runs of a block; those that were ended do not tell
        audio_s = 1.0 if pd.isna(audio_s) else float(audio_s)
        ended, runs = ended + len(_ended(block)), runs + len(shares)
        processed_s, whole_s = processed_s + audio_s * float(shares.sum()), whole_s + audio_s * len(shares)
    if not ended:
        saved = f"Racing ended none of {runs} runs early."
    else:
        once = all(block.factors["measure.repeats"] == 1 for block in found)
        passes = "" if once else " of their first passes"  # only these are raced
        saved = f"Racing ended {ended} of {runs} runs early: {100 * processed_s / whole_s:.0f} % of the audio"
        saved += f"{passes} was processed."
    level = config.get("search.racing_level")
    if not isinstance(level, int | float):
        return [saved]
    margin = config.get("search.racing_margin") or 0.0  # studies of older versions have none
    deserving = f"at least {100 * margin:g} % better" if margin else "no worse"
    asked = f"search.racing_level={level:g}" + (f", search.racing_margin={margin:g}" if margin else "")
    risk = (
        f"A run that is {deserving} than its rival is ended with a probability of at most {100 * level:g} % ({asked})."
    )
    return [saved, risk]


def _notes(left_out: int, any_ended: bool) -> Iterator[str] | list[str]:
    told = [f"{left_out} more are in the study's records."] if left_out else []
    if any_ended:
        told.append("What a run had so far is of the part it had reached; what its rival has is of all of the data.")
    told.append(
        "Runs of this study go through the data in stages, those that were completed too: their timings compare with"
        " each other, not with those of studies without racing."
    )
    return told


def _row(
    block: Block, run: "pd.Series[Any]", metrics: Sequence[Metric], several: bool
) -> tuple[list[str], list[tuple[str, str]]]:
    """Write a run that was ended: its words and its share, and of each metric what it had, and what its rival has."""
    rival = block.runs[block.runs["run_id"] == run["race_beaten_by"]]
    label = str(block.row(run["trial_id"])["label"]) + (f" ({block.title})" if several else "")
    beaten_by = clean(str(plain(run["race_beaten_by"]) or "unknown"))
    if not rival.empty:
        beaten_by = str(block.row(rival["trial_id"].iloc[0])["label"])
    share = "\N{EN DASH}" if pd.isna(run["race_share"]) else f"{100 * run['race_share']:.0f} %"
    pairs = [
        (one.show(_so_far(run, one)), one.show(None if rival.empty else rival[one.column].iloc[0])) for one in metrics
    ]
    return [label, beaten_by, share], pairs


def _so_far(run: "pd.Series[Any]", metric: Metric) -> float:
    """Read what a run had of a metric when it was ended; NaN for what is known at the end only."""
    if metric in (WER, RTFX):
        return float(run[f"race_{metric.column}"])
    if metric.column == "rtf":
        return 1 / float(run["race_rtfx"])
    return float(run[metric.column])
