"""A study, or one setting of it, in passages for a terminal."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.config import NormalizerName
from bench.metrics import ALL, METRICS, PEAK_GPU, WER
from bench.printable import clean
from bench.records import Status
from bench.report.accuracy import accuracy
from bench.report.crossvalidation import CrossValidation, cross_validated
from bench.report.description import description
from bench.report.finetuning import trains
from bench.report.frontier import Recommendation, pareto_front, recommend
from bench.report.heard import Piece, pieces_of
from bench.report.judged import judged
from bench.report.labels import plain, value_of
from bench.report.limits import values_of
from bench.report.listing import statuses
from bench.report.passage import Passage
from bench.report.selection import Selection, load_blocks, trial_of
from bench.report.tables import Block, failures_of
from bench.report.verdict import costs, headline, not_compared
from bench.schema import SETTINGS
from bench.score.normalize import normalizer
from bench.store import load_runs, load_utterances

_ERRORS = ["substitutions", "deletions", "insertions"]
_DASH = "\N{EN DASH}"


@dataclass(frozen=True)
class Heard:
    """An utterance of a run.

    Attributes:
        title: Its name, and its errors.
        pieces: What was said and heard; see :data:`bench.report.heard.Piece`.
    """

    title: str
    pieces: list[Piece]


def study_passages(chosen: Selection) -> list[Passage]:
    """Say what a study came to: its verdict, its settings with the best first, and what failed.

    Raises:
        StoreError: There is no such study, or a file cannot be read.
    """
    runs = load_runs(chosen.study_dir)
    told = description(chosen.study_dir)
    if runs.empty:
        return [Passage(chosen.study, lines=("No run has ended yet.",))]
    found = load_blocks(chosen, runs)
    first = Passage(chosen.study, lines=(f"runs: {statuses(runs)}", *not_compared(found)))
    if trains(runs, told.get("config") or {}):
        return [first, *_training(chosen), *_failures(found)]
    utterances = load_utterances(chosen.study_dir)
    sections = [passage for block in found for passage in _block(block, recommend(block), utterances)]
    return [first, *sections, *_failures(found)]


def trial_passages(chosen: Selection) -> tuple[list[Passage], Block, str]:
    """Say all of one setting: its settings, what was measured, and its runs.

    Returns:
        The passages, the block the setting is in, and its ``trial_id``.

    Raises:
        StoreError: There is no such study or setting.
    """
    block, trial = trial_of(load_blocks(chosen), chosen)
    row, runs = block.row(trial), block.runs[block.runs["trial_id"] == trial]
    latest = runs.iloc[-1]
    known = [name for name in SETTINGS if plain(latest[name]) is not None]
    settings = tuple((name, value_of(latest[name], name)) for name in known)
    good = runs[runs["status"] == Status.ok.value]
    values = {metric: values_of(block, metric).get(trial) for metric in ALL.values()}
    metrics = tuple((metric.label, metric.show(value)) for metric, value in values.items() if value is not None)
    title = f"{chosen.study}:{trial}, {row['label']}"
    counted = [f"{row[name]:.0f} {name.replace('_', ' ')}" for name in (*_ERRORS, "reference_words")]
    lines = (", ".join(counted),) if pd.notna(row["reference_words"]) else ()
    passages = [
        Passage(title, ("metric", "median of runs" if len(good) > 1 else "value"), metrics, lines),
        Passage("Runs", *_runs(runs), words=2),
        Passage("Settings that are set", ("setting", "value"), settings, words=2),
    ]
    return passages, block, trial


def worst_utterances(chosen: Selection, block: Block, trial: str, most: int) -> Iterator[Heard]:
    """Yield the utterances of a setting's typical run with the most errors, aligned with what was said.

    Args:
        chosen: The study.
        block: The block of the setting.
        trial: The setting.
        most: How many.
    """
    run = block.row(trial)["typical_run"]
    if pd.isna(run):
        return
    mine = load_utterances(chosen.study_dir, {str(run)}).dropna(subset=["hypothesis", "reference_words"])
    mine = mine.assign(errors=mine[_ERRORS].sum(axis=1))
    ordered = mine.sort_values(["errors", "utterance_id"], ascending=[False, True])
    normalize = normalizer(NormalizerName(str(block.factors["score.normalizer"])))
    for row in ordered.head(most).to_dict("records"):
        told = f"{row['errors']:.0f} errors in {row['reference_words']:.0f} words, WER {WER.show(row['wer'])}"
        yield Heard(
            f"{clean(str(row['utterance_id']))}: {told}", pieces_of(row["reference"], row["hypothesis"], normalize)
        )


def _block(block: Block, recommendation: Recommendation, utterances: pd.DataFrame) -> Iterator[Passage]:
    """Write a block's verdict and its settings."""
    sure = accuracy(block, recommendation, utterances)
    yield Passage(block.title, lines=(headline(block, recommendation), *costs(block, recommendation, sure.tied)))
    table = block.table
    comparable = table.drop(index=list(recommendation.excluded))
    front = set(comparable.index[pareto_front(comparable)])
    metrics = [one for one in METRICS if one != PEAK_GPU or table[one.column].notna().any()]
    recommended = recommendation.picks and recommendation.picks.recommended
    rows = []
    for trial, row in pd.concat([comparable, table.drop(index=comparable.index)]).iterrows():
        mark = "recommended" if trial == recommended else "not beaten" if trial in front else ""
        status = (
            str(row["status"]) if not failures_of(row) else f"{row['status']} ({failures_of(row)} of {row['runs']})"
        )
        wer, *others = (metric.show(row[metric.column]) for metric in metrics)
        certain = (sure.standing(str(trial)), wer, sure.interval(str(trial)))
        rows.append((str(trial), str(row["label"]), status, mark, *certain, *others))
    heads = ("trial", "setting", "status", "", "against best", "WER", "95 %", *(one.label for one in metrics[1:]))
    aside = [f"{block.row(trial)['label']}: {why}" for trial, why in recommendation.excluded.items()]
    lines = ["Not beaten: no other setting is as good in both WER and RTFx, and better in one."] if front else []
    if sure.against:
        lines.append(f"Tied: its WER cannot be told from the best's ({sure.units}, taken as independent).")
    yield Passage(heads=heads, rows=tuple(rows), lines=(*lines, *aside), words=5)


def _training(chosen: Selection) -> Iterator[Passage]:
    """Write what a fine-tuning study came to."""
    if (outcome := judged(chosen.study_dir)) is not None:
        yield Passage("Test data", lines=outcome.sentences)
    if (validation := cross_validated(chosen.study_dir)) is not None:
        yield _validation(validation)


def _validation(found: CrossValidation) -> Passage:
    rows = []
    for one in found.settings:
        standing = "best" if one is found.best else "tied" if one.is_tied else "different" if one.against_best else ""
        scores = " ".join(_percent(fold.wer) if fold.wer is not None else fold.status for fold in one.folds)
        rows.append((one.trial_id, one.label, standing, scores, _percent(one.mean), _percent(one.spread)))
    heads = ("trial", "setting", "", "WER by fold [%]", "mean [%]", "deviation [%]")
    title = f"Cross-validation on {clean(found.data_name)}, {found.folds} folds"
    return Passage(title, heads, tuple(rows), ("Tied: cannot be told from the best.",), words=4)


def _percent(rate: float | None) -> str:
    return _DASH if rate is None else f"{100 * rate:.1f}"


def _failures(found: list[Block]) -> Iterator[Passage]:
    rows = [
        f"{row['label']} ({trial}): {failures_of(row)} of {row['runs']} runs, {row['status']}: {row['reason']}"
        for block in found
        for trial, row in block.table.iterrows()
        if failures_of(row)
    ]
    if rows:
        yield Passage("Failures", lines=tuple(rows))


def _runs(runs: pd.DataFrame) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    heads = ("run", "status", "timing", *(metric.label for metric in METRICS), "started")
    return heads, tuple(_run(row) for _, row in runs.iterrows())


def _run(row: "pd.Series[Any]") -> tuple[str, ...]:
    reason = plain(row["status_reason"])
    status = f"{row['status']}: {reason}" if reason is not None else str(row["status"])
    valid = plain(row["valid"])
    timing = _DASH if valid is None else "valid" if valid else "not valid"
    shown = (metric.show(row[metric.column]) for metric in METRICS)
    return (str(row["run_id"]), status, timing, *shown, str(row["started_at"])[:16])
