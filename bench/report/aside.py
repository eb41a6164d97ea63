"""How the chosen setting did on data kept aside, beside how it did on the data it was chosen on."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bench.data.holdout import Part
from bench.metrics import WER, Metric
from bench.printable import clean
from bench.records import Status
from bench.report.frontier import Recommendation
from bench.report.labels import plain
from bench.report.limits import values_of
from bench.report.tables import Block
from bench.search.objectives import Goal


def judged_aside(block: Block, recommendation: Recommendation, runs: pd.DataFrame, goal: Goal) -> list[str]:
    """Say what the data kept aside told of a block's chosen setting.

    Args:
        block: The settings.
        recommendation: What is recommended of them.
        runs: All runs of the study, those over the data kept aside too.
        goal: What the study is after.

    Returns:
        Sentences; none where nothing of the block was judged.
    """
    verdicts = runs[runs["part"].eq(Part.holdout.value)]
    trial_of = {
        plain(number): str(trial)
        for number, trial in zip(block.runs["trial_number"], block.runs["trial_id"], strict=True)
        if plain(number) is not None
    }
    mine = [(trial_of[number], row) for number, row in _numbered(verdicts) if number in trial_of]
    if not mine:
        return []
    recommended = None if recommendation.picks is None else recommendation.picks.recommended
    # The latest counts, that of the recommended setting before any other.
    trial, row = max(enumerate(mine), key=lambda item: (item[1][0] == recommended, item[0]))[1]
    told = [_sentence(block, trial, row, goal, trial == recommended)]
    if len(judged := {trial for trial, _ in mine}) > 1:
        told.append(
            f"{len(judged)} settings have been judged on the data kept aside; each one more makes them less so."
        )
    return told


def not_yet_judged(runs: pd.DataFrame, config: Mapping[str, Any]) -> list[str]:
    """Say that data are kept aside, by the settings of the latest start, and no run over them has been made."""
    if not config.get("search.holdout") or runs["part"].eq(Part.holdout.value).any():
        return []
    return ["No setting has been judged on the data kept aside yet."]


def _numbered(runs: pd.DataFrame) -> Sequence[tuple[object, "pd.Series[Any]"]]:
    ordered = runs.sort_values("started_at", kind="stable")
    return [(plain(row["trial_number"]), row) for _, row in ordered.iterrows()]


def _sentence(block: Block, trial: str, verdict: "pd.Series[Any]", goal: Goal, is_recommended: bool) -> str:
    label = str(block.row(trial)["label"])
    if verdict["status"] != Status.ok.value:
        why = clean(str(plain(verdict["status_reason"]) or "no reason was recorded"))
        return f"The run that was to judge {label} on the data kept aside ended in {verdict['status']}: {why}."
    metric = _metric(block, trial, verdict, goal)
    before, after = values_of(block, metric).get(trial), plain(verdict[metric.column])
    told = (
        f"{metric.label} {metric.show(before)} on the {_amount(block.row(trial), 'words_scored')} it was chosen on,"
        f" {metric.show(None if after is None else float(str(after)))} on {_amount(verdict, 'reference_words')} kept"
        " aside: the second is the one to expect."
    )
    if verdict["utterances_failed"] > 0:
        told += f" {verdict['utterances_failed']:.0f} of those kept aside could not be transcribed."
    if is_recommended:
        return told
    choice = f"which the search chose by {goal.objectives[0].label}"
    return f"The setting judged on data kept aside is not the one recommended here but {label}, {choice}: {told}"


def _metric(block: Block, trial: str, verdict: "pd.Series[Any]", goal: Goal) -> Metric:
    """Choose what to tell: the WER, or the first objective where there is none."""
    has_wer = pd.notna(verdict[WER.column]) and pd.notna(block.row(trial)[WER.column])
    return WER if has_wer else goal.objectives[0]


def _amount(row: "pd.Series[Any]", words: str) -> str:
    failed = 0 if pd.isna(row["utterances_failed"]) else row["utterances_failed"]
    count = f"{row['utterances'] - failed:.0f}"
    said = f"{count} utterance{'' if count == '1' else 's'}"
    return said if pd.isna(row[words]) else f"{said} ({row[words]:.0f} words)"
